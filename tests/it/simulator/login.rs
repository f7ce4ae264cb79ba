//! Logins: every form of challenge, and every reason to be sent away.

use rekeyd::simulator::{Challenge, DigestRules, NonceCount, QopOffer, Simulator, SimulatorSpec};

use super::curl::{bare_curl, curl};
use super::{invoices, key_url, start};

async fn with_rules(digest: DigestRules) -> Simulator {
    let spec = SimulatorSpec { digest, ..SimulatorSpec::default() };
    start(spec).await
}

/// Whatever the challenge looks like, a correct client gets in, and each of its PUTs makes exactly one key.
#[tokio::test(flavor = "multi_thread")]
async fn curl_logs_in_with_every_form_of_challenge() {
    let md5 = vec![Challenge::Md5];
    for (qop, challenges) in [
        (QopOffer::Auth, md5.clone()),
        (QopOffer::Absent, md5.clone()),
        (QopOffer::Misspelt, md5),
        (QopOffer::Auth, vec![Challenge::Sha256]),
        (QopOffer::Auth, vec![Challenge::Basic, Challenge::Md5]),
        (QopOffer::Auth, vec![Challenge::Sha256, Challenge::Md5]),
    ] {
        let simulator = with_rules(DigestRules { qop, challenges: challenges.clone(), ..DigestRules::default() }).await;
        let target = invoices(&simulator);
        let url = key_url(&simulator, &target);
        let case = format!("{qop:?} {challenges:?}");

        let pretty = format!("{url}?pretty=true&envelope=false");
        let before = curl(&simulator, &[&pretty]).await;
        assert_eq!(before.statuses, [401, 200], "{case}");
        let put = curl(&simulator, &["-X", "PUT", &url]).await;
        assert_eq!(put.statuses, [401, 201], "{case}");
        assert_eq!(put.body, "{}", "the new key stays secret: {case}");
        let after = curl(&simulator, &[&url]).await;

        let truth = simulator.stop().await;
        let rotations: Vec<_> = truth.rotations().collect();
        assert_eq!(rotations.len(), 1, "{case}");
        assert_eq!(rotations[0].target, target.id);
        assert_eq!(rotations[0].key_before, before.json()["encryptionKeyUUID"]);
        assert_eq!(rotations[0].key_after, after.json()["encryptionKeyUUID"]);
        assert_ne!(rotations[0].key_before, rotations[0].key_after);
        assert_eq!(truth.requests.bad_logins, 0, "{case}");
    }
}

/// Bad credentials: 401 without an error code, counted, and nothing is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_sent_away() {
    let simulator = start(SimulatorSpec::default()).await;
    let url = key_url(&simulator, &invoices(&simulator));
    for user in ["simulator:wrong", "nobody:5e1f-make-believe"] {
        let put = bare_curl(&["--digest", "--user", user, "-X", "PUT", &url]).await;
        assert_eq!(put.status(), 401);
        assert_eq!(put.json()["reason"], "Unauthorized");
        assert_eq!(put.json().get("errorCode"), None);
        assert!(put.head.contains("stale=false"), "{}", put.head);
        assert!(put.header("x-mongodb-service-version").is_none());
    }
    // A key that was right until it was deleted.
    simulator.set_wrong_password(true);
    assert_eq!(curl(&simulator, &["-X", "PUT", &url]).await.status(), 401);
    simulator.set_wrong_password(false);
    assert_eq!(curl(&simulator, &[&url]).await.status(), 200);

    let truth = simulator.stop().await;
    assert_eq!(truth.requests.bad_logins, 3);
    assert_eq!((truth.puts.len(), truth.changes.len()), (0, 0));
}

/// An answer can be given once, for one URL and one method; only a lax server takes the same one again.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_cannot_be_used_for_anything_else() {
    for (nonce_count, replayed) in [(NonceCount::Any, 200), (NonceCount::Unique, 401), (NonceCount::Increasing, 401)] {
        let simulator = with_rules(DigestRules { nonce_count, ..DigestRules::default() }).await;
        let url = key_url(&simulator, &invoices(&simulator));
        let trace = tempfile::NamedTempFile::new().unwrap();
        let path = trace.path().to_str().unwrap();
        let first = curl(&simulator, &["--trace-ascii", path, &url]).await;
        assert_eq!(first.status(), 200);
        let trace = std::fs::read_to_string(trace.path()).unwrap();
        // The trace breaks long lines; its continuation lines begin with an offset in hexadecimal.
        let sent: String = trace.lines().filter_map(|l| Some(l.split_once(": ")?.1)).collect();
        let start = sent.rfind("Authorization: Digest").unwrap();
        let end = sent[start..].find("User-Agent").unwrap();
        let answer = &sent[start..start + end];

        let again = bare_curl(&["--header", answer, &url]).await;
        assert_eq!(again.status(), replayed, "{nonce_count:?}: {again:?}");
        if replayed == 401 {
            assert!(again.head.contains("stale=false"), "{}", again.head);
        }
        let bad = simulator.truth().requests.bad_logins;
        let elsewhere = format!("{url}?pretty=true");
        for arguments in [vec!["-X", "PUT", url.as_str()], vec![elsewhere.as_str()]] {
            let arguments = [&["--header", answer], arguments.as_slice()].concat();
            assert_eq!(bare_curl(&arguments).await.status(), 401);
        }
        assert_eq!(simulator.truth().requests.bad_logins, bad + 2);
        assert!(simulator.stop().await.changes.is_empty());
    }
}
