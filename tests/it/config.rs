//! What an operator is told about a configuration that cannot be used, word for word, and what never is told.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rekeyd::config::{self, Environment, Problems};
use secrecy::ExposeSecret;
use tempfile::TempDir;

const SECRET: &str = "3e8f0d9c-5d5b-4a53-9b43-6f1a1f0f7c55";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

/// Every broken file is answered with exactly the text beside it.
#[test]
fn says_exactly_what_is_wrong() {
    let environment =
        Environment { credentials_directory: Some(fixtures().join("credentials")), ..Environment::default() };
    let mut seen = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let fixture = entry.unwrap().path();
        if fixture.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let problems = config::load(&fixture, &environment).expect_err("the fixture cannot be used");
        // Where this copy of the project lives is no part of the answer.
        let name = Path::new(fixture.file_name().unwrap());
        let shown = problems.render(name, false).replace(&fixtures().display().to_string(), "tests/config");
        let expected = fs::read_to_string(fixture.with_extension("txt")).unwrap_or_default();
        assert!(shown == expected, "{}: shown:\n{shown}\nexpected:\n{expected}", fixture.display());
        // The fixtures' secret.
        assert!(!format!("{problems:?}{shown}").contains("hunter2"), "{} tells a secret", fixture.display());
        seen += 1;
    }
    assert!(seen >= 15, "only {seen} fixtures found");
}

/// A folder with a configuration of one manager, and the files that it names.
struct Etc(TempDir);

impl Etc {
    fn new(manager: &str) -> Self {
        let etc = Self(tempfile::tempdir().expect("a temporary folder can be made"));
        let folder = etc.0.path().display();
        let text = format!(
            "version = 1\n[[ops_manager]]\nname = 'emea'\nurl = 'https://om.example.com'\npublic_key = 'abcdefgh'\n{}\n",
            manager.replace("{etc}", &folder.to_string())
        );
        etc.write("rekeyd.toml", text, 0o644);
        etc
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>, mode: u32) {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("it can be written to");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its owner may change its mode");
    }

    fn load(&self) -> Result<config::Config, Problems> {
        let environment =
            Environment { credentials_directory: Some(self.0.path().join("credentials")), ..Environment::default() };
        config::load(&self.0.path().join("rekeyd.toml"), &environment)
    }

    /// What is wrong, with this folder as `{etc}`.
    fn problems(&self) -> Vec<String> {
        let folder = self.0.path().display().to_string();
        let problems = self.load().expect_err("it cannot be used");
        let shown = problems.render(Path::new("rekeyd.toml"), false);
        assert!(!format!("{problems:?}{shown}").contains(SECRET), "tells a secret: {shown}");
        problems.iter().map(|problem| problem.what.replace(&folder, "{etc}")).collect()
    }
}

const FROM_FILE: &str = "private_key = { file = '{etc}/key' }";

/// One line break is the editor's and not the secret's; every other sign is the secret's.
#[test]
fn a_secret_is_read_to_the_letter() {
    for (text, secret) in [
        (SECRET.to_owned(), SECRET.to_owned()),
        (format!("{SECRET}\n"), SECRET.to_owned()),
        (format!("{SECRET} \r\n"), format!("{SECRET} ")),
    ] {
        let etc = Etc::new(FROM_FILE);
        etc.write("key", text, 0o600);
        let config = etc.load().unwrap();
        let manager = config.managers.first().unwrap();
        assert_eq!(manager.private_key.expose_secret(), secret);
        assert!(!format!("{config:?}").contains(SECRET), "Debug tells a secret");
    }
}

/// A key is one line; a file with more holds something else.
#[test]
fn a_private_key_is_one_line() {
    let etc = Etc::new(FROM_FILE);
    etc.write("key", format!("{SECRET}\n\n"), 0o600);
    assert_eq!(etc.problems(), ["`private_key` has more than one line in {etc}/key"]);
}

/// A secret that others can read is no secret; the credentials directory is guarded by its own mode.
#[test]
fn a_secret_must_be_its_owners_alone() {
    for (mode, shown) in [(0o640, "640"), (0o604, "604"), (0o620, "620")] {
        let etc = Etc::new(FROM_FILE);
        etc.write("key", SECRET, mode);
        let expected = format!("`private_key` is open to others than its owner: {{etc}}/key has mode {shown}");
        assert_eq!(etc.problems(), [expected]);
    }
    let etc = Etc::new(FROM_FILE);
    etc.write("open", SECRET, 0o644);
    symlink(etc.0.path().join("open"), etc.0.path().join("key")).unwrap();
    assert_eq!(etc.problems(), ["`private_key` is open to others than its owner: {etc}/key has mode 644"]);

    let etc = Etc::new("private_key = { credential = 'emea' }");
    fs::create_dir(etc.0.path().join("credentials")).unwrap();
    etc.write("credentials/emea", SECRET, 0o440);
    assert_eq!(etc.load().unwrap().managers.first().unwrap().private_key.expose_secret(), SECRET);
}

/// A file's name cannot send orders to the terminal that shows it.
#[test]
fn control_characters_are_not_shown() {
    let etc = Etc::new("private_key = { file = \"{etc}/key\\u001b[31m\" }");
    etc.write("key\u{1b}[31m", SECRET, 0o644);
    let problems = etc.load().unwrap_err();
    assert!(problems.iter().any(|problem| problem.help.as_ref().is_some_and(|help| help.contains('\u{1b}'))));
    assert!(!problems.render(Path::new("rekeyd.toml"), false).contains('\u{1b}'));
}

/// Whoever puts the key itself where its place belongs does not find it in a log.
#[test]
fn a_misplaced_secret_is_not_repeated() {
    for manager in [
        format!("private_key = '{SECRET}'"),
        format!("private_key = '{SECRET}"),
        format!("private_key = {SECRET}"),
        format!("private_key = {{ credential = '{SECRET}' }}"),
        format!("private_key = {{ file = '{SECRET}' }}"),
        format!("private_key = {{ key = '{SECRET}' }}"),
        format!("private_key = ['{SECRET}']"),
        format!("private_key = [['{SECRET}']]"),
        format!("project = '{SECRET}'"),
        format!("project = [['{SECRET}']]"),
        format!("private_key = {{ credential = 'a/{SECRET}' }}"),
        format!("privat_key = '{SECRET}'"),
        format!("proxy = 'http://user:{SECRET}@proxy.example.com'"),
        format!("max_concurrent = 0 # {SECRET}"),
    ] {
        assert!(!Etc::new(&manager).problems().is_empty(), "{manager}");
    }
}

/// Certificates and keys are looked into at the start, not at the first handshake.
#[test]
fn certificates_must_be_pem() {
    let etc = Etc::new(&format!(
        "{FROM_FILE}\nca_file = '{{etc}}/ca.pem'\nclient_cert_file = '{{etc}}/client.pem'\nclient_key_file = '{{etc}}/client-key.pem'"
    ));
    etc.write("key", SECRET, 0o600);
    etc.write("ca.pem", "authorities", 0o644);
    etc.write("client.pem", "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n", 0o644);
    etc.write("client-key.pem", SECRET, 0o600);
    assert_eq!(
        etc.problems(),
        [
            "`ca_file` holds no certificates in PEM: {etc}/ca.pem",
            "`client_cert_file` holds no certificates in PEM: {etc}/client.pem",
            "`client_key_file` holds no private key in PEM: {etc}/client-key.pem",
        ]
    );

    let own = rcgen::generate_simple_self_signed(["client.example.com".to_owned()]).unwrap();
    etc.write("ca.pem", own.cert.pem(), 0o644);
    etc.write("client.pem", own.cert.pem(), 0o644);
    etc.write("client-key.pem", own.signing_key.serialize_pem(), 0o644);
    assert_eq!(
        etc.problems(),
        ["`client_key_file` is open to others than its owner: {etc}/client-key.pem has mode 644"]
    );

    etc.write("client-key.pem", own.signing_key.serialize_pem(), 0o600);
    let config = etc.load().unwrap();
    let manager = config.managers.first().unwrap();
    assert_eq!(manager.ca_pem.as_deref(), Some(own.cert.pem().as_bytes()));
    let identity = manager.client_identity.as_ref().unwrap();
    assert_eq!(identity.certificates_pem, own.cert.pem().as_bytes());
    assert_eq!(identity.key_pem.expose_secret().trim_end(), own.signing_key.serialize_pem().trim_end());
}

/// Commands that only look work for people who may not read the secrets.
#[test]
fn settings_are_read_without_any_secret() {
    let etc = Etc::new("private_key = { credential = 'emea' }\nca_file = '/nonexistent/ca.pem'");
    let path = etc.0.path().join("rekeyd.toml");
    let settings = config::load_settings(&path, &Environment::default()).unwrap();
    assert_eq!(settings.rules.managers.len(), 1);
    assert!(config::load(&path, &Environment::default()).is_err());
}

/// A file that is not there, or not text, is a problem like any other.
#[test]
fn an_unreadable_file_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rekeyd.toml");
    let shown = || config::load(&path, &Environment::default()).unwrap_err().render(Path::new("rekeyd.toml"), false);
    let is = |why: &str, help: &str| {
        let shown = shown();
        assert!(shown.starts_with(&format!("error: the configuration cannot be read: {why}\n")), "{shown}");
        assert!(shown.contains(help), "{shown}");
    };
    is("there is no such file", "`rekeyd config default` prints one");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    is("it is not text in UTF-8", "save it again as UTF-8");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    is("it is a directory", "`--config` names a file");
}

/// Colors come only where they are asked for.
#[test]
fn colors_are_for_terminals() {
    let problems = config::load(&fixtures().join("invalid-ten-at-once.toml"), &Environment::default()).unwrap_err();
    assert!(problems.render(Path::new("rekeyd.toml"), true).contains('\u{1b}'));
    assert!(problems.render(Path::new("rekeyd.toml"), false).is_ascii());
}

/// An address may be as secret as a key: it is read like one, and nothing but its host is ever shown.
#[test]
fn a_receivers_address_may_be_a_secret() {
    let etc = Etc::new(&format!(
        "{FROM_FILE}\n\
         [[webhook]]\nname = 'oncall'\nurl = {{ file = '{{etc}}/url' }}\nauthorization = {{ file = '{{etc}}/token' }}\n\
         [[alertmanager]]\nname = 'direct'\nurl = 'https://am.example.com/prefix'\n\
         [[alertmanager]]\nname = 'whole'\nurl = 'https://am.example.com/api/v2/alerts'\n\
         [heartbeat]\nurl = 'https://hc.example.com/ping'\n"
    ));
    etc.write("key", SECRET, 0o600);
    etc.write("url", format!("https://hooks.example.com/{SECRET}?token={SECRET}\n"), 0o600);
    etc.write("token", format!("Bearer {SECRET}\n"), 0o600);
    let config = etc.load().unwrap();
    assert!(!format!("{config:?}").contains(SECRET), "Debug tells a secret");
    let seen: Vec<_> = config
        .receivers
        .iter()
        .map(|receiver| (receiver.name.as_str(), receiver.shown.as_str(), receiver.url.expose_secret()))
        .collect();
    let secret = format!("https://hooks.example.com/{SECRET}?token={SECRET}");
    assert_eq!(
        seen,
        [
            ("oncall", "https://hooks.example.com", secret.as_str()),
            ("direct", "https://am.example.com", "https://am.example.com/prefix/api/v2/alerts"),
            ("whole", "https://am.example.com", "https://am.example.com/api/v2/alerts"),
            ("heartbeat", "https://hc.example.com", "https://hc.example.com/ping"),
        ]
    );
    let authorization = config.receivers[0].authorization.as_ref().unwrap();
    assert_eq!(authorization.expose_secret(), format!("Bearer {SECRET}"));
    etc.write("url", SECRET, 0o600);
    assert_eq!(etc.problems(), ["`url` holds no http or https address"]);
}
