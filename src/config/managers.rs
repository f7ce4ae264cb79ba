//! The sections `[[ops_manager]]` and `[[ops_manager.project]]`: where to rotate, as whom, and what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use toml::de::DeValue;

use super::document::{Document, Spot, Written};
use super::policies::{DEFAULT, Policies, PolicyEntry};
use super::section::{Section, Setting, did_you_mean};
use super::value::{self, Misfit};
use crate::domain::{Glob, ManagerName, Period, PolicyName, ProjectId, ProjectSelector};
use crate::policy::{ManagerRules, Override, ProjectRules};

/// One manager as the file describes it, its secrets and certificates not yet opened.
///
/// What must be there and could not be read is none, and noted.
pub(super) struct ManagerFile {
    pub(super) name: Option<ManagerName>,
    pub(super) url: Option<Url>,
    pub(super) public_key: Option<String>,
    pub(super) private_key: Option<Written<SecretSource>>,
    pub(super) ca_file: Option<Written<PathBuf>>,
    pub(super) client_identity: Option<ClientIdentityFiles>,
    pub(super) proxy: Option<Url>,
    pub(super) request_timeout: Period,
    pub(super) requests_per_second: u32,
    pub(super) discover_every: Period,
    pub(super) rules: Option<ManagerRules>,
}

/// Where a secret is to be found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SecretSource {
    /// A file of this name in the credentials directory.
    Credential(String),
    /// A file anywhere.
    File(PathBuf),
}

/// How a secret's place is written.
const SOURCE_FORMS: &str = "write { credential = \"NAME\" } or { file = \"/PATH\" }";

/// Where a client's certificate and its key are to be found.
pub(super) struct ClientIdentityFiles {
    pub(super) certificates: Written<PathBuf>,
    pub(super) key: Written<PathBuf>,
}

/// Reads every manager.
pub(super) fn read(top: &mut Section<'_>, policies: &Policies) -> Vec<ManagerFile> {
    let sections = top.sections("ops_manager", "[[ops_manager]]");
    let mut names = BTreeSet::new();
    let mut managers: Vec<ManagerFile> = Vec::new();
    for section in sections {
        let (document, header) = (section.document(), section.spot().clone());
        let manager = read_one(section, policies, &mut names);
        for earlier in &managers {
            refuse_double_rule(earlier, &manager, document, &header);
        }
        managers.push(manager);
    }
    managers
}

fn read_one(mut section: Section<'_>, policies: &Policies, names: &mut BTreeSet<String>) -> ManagerFile {
    let document = section.document();
    let name = section.required("name", value::name);
    if let Some(name) = &name
        && !names.insert(name.value.clone())
    {
        document.problem(&name.spot, format!("a manager named `{}` stands further up already", name.value), None);
    }
    let url = section.required("url", value::manager_url);
    let public_key = section.required("public_key", value::public_key);
    let private_key = read_secret_source(&mut section, "private_key");
    let ca_file = section.optional("ca_file", value::absolute_path);
    let client_identity = read_client_identity(&mut section);
    let proxy = section.optional("proxy", value::proxy_url);
    let noted_before = document.count();
    let request_timeout = section.optional("request_timeout", value::period);
    let timeout_is_known = document.count() == noted_before;
    let max_concurrent = section.optional("max_concurrent", value::whole_number(1..=1000));
    let requests_per_second = section.optional("requests_per_second", value::whole_number(1..=100_000));
    let discover_every = section.optional("discover_every", value::period);
    let policy_name = section.optional("policy", value::name);
    let projects = read_projects(&mut section, policies);
    let overrides = read_overrides(&mut section, policies);
    section.finish();

    let policy = match &policy_name {
        Some(name) => find_policy(document, policies, name),
        None => policies.get(DEFAULT),
    };
    let timeout = request_timeout.as_ref().map_or(Period::seconds(30), |timeout| timeout.value);
    if timeout_is_known {
        let named = projects.iter().filter_map(|project| policies.get(&project.policy.as_ref()?.name));
        let named = named.chain(overrides.iter().filter_map(|rule| policies.get(&rule.policy.name)));
        let used: BTreeMap<_, _> = named.chain(policy).map(|entry| (&entry.policy.name, entry)).collect();
        for entry in used.values() {
            check_settle(document, entry, timeout, request_timeout.as_ref().map(|written| &written.spot));
            check_windows(document, entry, timeout);
        }
    }
    ManagerFile {
        name: name.map(|name| ManagerName::new(name.value)),
        url: url.map(|url| url.value),
        public_key: public_key.map(|key| key.value),
        private_key,
        ca_file,
        client_identity,
        proxy: proxy.map(|proxy| proxy.value),
        request_timeout: timeout,
        requests_per_second: requests_per_second.map_or(10, |number| number.value),
        discover_every: discover_every.map_or(Period::minutes(10), |period| period.value),
        rules: policy.map(|entry| ManagerRules {
            max_concurrent: max_concurrent.map_or(4, |number| number.value) as usize,
            request_timeout: timeout,
            policy: Arc::clone(&entry.policy),
            projects,
            overrides,
        }),
    }
}

/// A secret that must be there, by its place.
pub(super) fn read_secret_source(section: &mut Section<'_>, name: &'static str) -> Option<Written<SecretSource>> {
    match section.take(name) {
        Some(setting) => secret_source(setting, section.document(), name),
        None => {
            section.lacks(name, SOURCE_FORMS.to_owned());
            None
        }
    }
}

/// A secret that may be left out, by its place.
pub(super) fn optional_secret_source(section: &mut Section<'_>, name: &'static str) -> Option<Written<SecretSource>> {
    secret_source(section.take(name)?, section.document(), name)
}

/// Where a secret is, and never the secret.
pub(super) fn secret_source(
    setting: Setting<'_>,
    document: &Document<'_>,
    name: &'static str,
) -> Option<Written<SecretSource>> {
    if !matches!(setting.value(), DeValue::Table(_)) {
        let help = format!("{SOURCE_FORMS}; a key that stood here is no longer a secret: make a new one");
        document.problem(&setting.key_spot(), format!("`{name}` must say where the key is, not what it is"), help);
        return None;
    }
    let spot = setting.key_spot();
    let mut source = setting.into_section(format!("`{name}`"))?;
    let one = source.has_one_of("credential", "file");
    // A private key that was put here by mistake must not appear in a log.
    let credential = source.optional("credential", |value| credential_name(value).map_err(Misfit::secret));
    let file = source.optional("file", |value| value::absolute_path(value).map_err(Misfit::secret));
    source.finish();
    let credential = credential.map(|name| SecretSource::Credential(name.value));
    let file = file.map(|path| SecretSource::File(path.value));
    let value = credential.or(file).filter(|_| one)?;
    Some(Written { value, spot })
}

fn credential_name(value: &DeValue<'_>) -> Result<String, Misfit> {
    let name = value::text(value)?;
    if name.contains('/') || matches!(name, "." | "..") {
        return Err(Misfit::new("must be the name of a credential, without a directory"));
    }
    Ok(name.to_owned())
}

fn read_client_identity(section: &mut Section<'_>) -> Option<ClientIdentityFiles> {
    let one_is_missing = section.has("client_cert_file") != section.has("client_key_file");
    let certificates = section.optional("client_cert_file", value::absolute_path);
    let key = section.optional("client_key_file", value::absolute_path);
    match (certificates, key) {
        (Some(certificates), Some(key)) => Some(ClientIdentityFiles { certificates, key }),
        (Some(one), None) | (None, Some(one)) if one_is_missing => {
            section.document().problem(&one.spot, "`client_cert_file` and `client_key_file` need each other", None);
            None
        }
        (Some(_), None) | (None, Some(_)) | (None, None) => None,
    }
}

fn read_projects(section: &mut Section<'_>, policies: &Policies) -> Vec<ProjectRules> {
    let mut projects: Vec<ProjectRules> = Vec::new();
    for mut section in section.sections("project", "[[ops_manager.project]]") {
        let document = section.document();
        let one = section.has_one_of("id", "name");
        let id = section.optional("id", value::owned_text);
        let name = section.optional("name", value::owned_text);
        let policy = section.optional("policy", value::name);
        let exclude = section.list("exclude", value::glob);
        section.finish();

        let policy = policy.and_then(|name| find_policy(document, policies, &name));
        let id = id.map(|id| Written { value: ProjectSelector::Id(ProjectId::new(id.value)), spot: id.spot });
        let name = name.map(|name| Written { value: ProjectSelector::Name(name.value), spot: name.spot });
        let Some(project) = id.or(name).filter(|_| one) else { continue };
        if projects.iter().any(|earlier| earlier.project == project.value) {
            let what = format!("project `{}` stands further up in this manager already", project.value);
            document.problem(&project.spot, what, None);
        }
        projects.push(ProjectRules {
            project: project.value,
            policy: policy.map(|entry| Arc::clone(&entry.policy)),
            exclude: exclude.into_iter().map(|glob| glob.value).collect(),
        });
    }
    projects
}

fn read_overrides(section: &mut Section<'_>, policies: &Policies) -> Vec<Override> {
    let mut overrides: Vec<Override> = Vec::new();
    for mut section in section.sections("override", "[[ops_manager.override]]") {
        let document = section.document();
        if !section.has("project") && !section.has("cluster") {
            section.lacks("project", "or `cluster`; the policy of all is the manager's `policy`".to_owned());
        }
        let project = section.optional("project", value::glob).map(|glob| glob.value);
        let cluster = section.optional("cluster", value::glob).map(|glob| glob.value);
        let policy = section.required("policy", value::name);
        let header = section.spot().clone();
        section.finish();
        let Some(entry) = policy.and_then(|name| find_policy(document, policies, &name)) else { continue };
        let any = || Glob::new("*");
        let (project, cluster) = (project.unwrap_or_else(any), cluster.unwrap_or_else(any));
        if overrides.iter().any(|earlier| earlier.project == project && earlier.cluster == cluster) {
            let what = format!("an override of project `{project}`, cluster `{cluster}` stands further up already");
            document.problem(&header, what, None);
        }
        overrides.push(Override { project, cluster, policy: Arc::clone(&entry.policy) });
    }
    overrides
}

fn find_policy<'p>(document: &Document<'_>, policies: &'p Policies, name: &Written<String>) -> Option<&'p PolicyEntry> {
    let found = policies.get(name.value.as_str());
    if found.is_none() {
        let help = did_you_mean(&name.value, policies.keys().map(PolicyName::as_str))
            .unwrap_or_else(|| format!("add a section [policy.{}]", name.value));
        document.problem(&name.spot, format!("policy `{}` is not defined", name.value), help);
    }
    found
}

/// A second PUT may leave after `settle`: by then the first one must have been given up.
fn check_settle(document: &Document<'_>, entry: &PolicyEntry, timeout: Period, timeout_at: Option<&Spot>) {
    let PolicyEntry { policy, settle_at, .. } = entry;
    if policy.settle > timeout {
        return;
    }
    let spot = settle_at.as_ref().or(timeout_at).expect("the defaults agree with each other");
    let what = format!(
        "`settle` of policy `{}` ({}) is not longer than `request_timeout` ({timeout})",
        policy.name, policy.settle
    );
    document.problem(spot, what, "a second PUT could leave while the first is still under way".to_owned());
}

/// Nothing could begin in a window that is as short as a request may be long.
fn check_windows(document: &Document<'_>, entry: &PolicyEntry, timeout: Period) {
    for (length, spot) in &entry.windows_at {
        if length.unsigned_abs() <= timeout.as_duration() {
            let what =
                format!("a window of policy `{}` is not longer than `request_timeout` ({timeout})", entry.policy.name);
            document.problem(spot, what, "an attempt begins only while a request's time-out is left".to_owned());
        }
    }
}

/// Two managers that rotate the same keys would rotate each of them twice.
///
/// Which projects an API key sees only the server knows, and so is which name belongs to which id. So two managers at one
/// address must both list their projects, by the same kind of name, and none in both.
fn refuse_double_rule(earlier: &ManagerFile, later: &ManagerFile, document: &Document<'_>, header: &Spot) {
    let (Some(one), Some(other)) = (&earlier.rules, &later.rules) else { return };
    let (Some(name), Some(other_name)) = (&earlier.name, &later.name) else { return };
    if earlier.url.is_none() || earlier.url != later.url {
        return;
    }
    let shared = one.projects.iter().find(|rules| other.projects.iter().any(|others| others.project == rules.project));
    let by_id = |rules: &ProjectRules| matches!(rules.project, ProjectSelector::Id(_));
    let both = || one.projects.iter().chain(&other.projects);
    let what = match shared {
        Some(rules) => format!("managers `{name}` and `{other_name}` both rotate project `{}`", rules.project),
        None if one.projects.is_empty() || other.projects.is_empty() => {
            format!("managers `{name}` and `{other_name}` have one url, and may rotate the same projects")
        }
        None if both().any(by_id) && !both().all(by_id) => {
            format!("managers `{name}` and `{other_name}` have one url, and name their projects in different ways")
        }
        None => return,
    };
    document.problem(
        header,
        what,
        "list the projects of both, all by id or all by name, each in one of them only".to_owned(),
    );
}
