//! Certificates in real handshakes, and the admin CA over its life.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use castellan_core::certificate::{AdminCertificate, CertificateChange, NotChanged};
use castellan_core::time::WallTime;
use castellan_fs::certificates::{AdminAuthority, ServerIdentity, SigningRequest};
use castellan_fs::{Root, RootError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::support::{NEW_YEAR, days_later, mode, names, root};

/// A clock that stands still.
#[derive(Debug)]
struct At(WallTime);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.as_millis() / 1000).unwrap();
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

/// The certificates that make administrators so many days later.
fn counting(authority: &AdminAuthority, days: i64) -> Vec<AdminCertificate> {
    authority.issued.iter().filter(|one| one.counts(days_later(days))).cloned().collect()
}

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn admin_identity(folder: &Path) -> Identity {
    let admin = folder.join("state/admin");
    let certificate = CertificateDer::from_pem_file(admin.join("client.pem")).unwrap();
    (certificate, PrivateKeyDer::from_pem_file(admin.join("client.key")).unwrap())
}

/// A whole handshake in memory at `now`; the server demands a certificate of `client_ca` where one is given.
fn handshake(
    server: &ServerIdentity,
    ca_file: &Path,
    name: &str,
    client: Option<Identity>,
    client_ca: Option<&CertificateDer<'static>>,
    now: WallTime,
) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(At(now)))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let client = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
    };
    let builder = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(At(now)))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let server = builder.with_single_cert(server.chain.clone(), server.key.clone_key()).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().map_err(|error| format!("client: {error}"))?;
        }
    }
    client.writer().write_all(b"x").unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    server.read_tls(&mut bytes.as_slice()).unwrap();
    server.process_new_packets().map_err(|error| format!("server: {error}"))?;
    let mut plain = [0];
    server.reader().read_exact(&mut plain).unwrap();
    assert_eq!(plain, *b"x");
    Ok(())
}

#[test]
fn the_listeners_certificate_is_for_loopback_and_new_at_every_start() {
    let (folder, root) = root();
    let ca = folder.path().join("state/ca.pem");
    let first = ServerIdentity::create(&root, NEW_YEAR).unwrap();
    for name in ["127.0.0.1", "::1", "localhost"] {
        assert_eq!(handshake(&first, &ca, name, None, None, NEW_YEAR), Ok(()), "{name}");
    }
    for name in ["127.0.0.2", "example.com"] {
        assert!(
            handshake(&first, &ca, name, None, None, NEW_YEAR).unwrap_err().contains("not valid for name"),
            "{name}"
        );
    }
    assert_eq!(handshake(&first, &ca, "localhost", None, None, days_later(700)), Ok(()));
    let second = ServerIdentity::create(&root, NEW_YEAR).unwrap();
    assert!(handshake(&first, &ca, "localhost", None, None, NEW_YEAR).is_err());
    assert_eq!(handshake(&second, &ca, "localhost", None, None, NEW_YEAR), Ok(()));
    let text = fs::read_to_string(&ca).unwrap();
    assert!(!text.contains("PRIVATE"));
    let for_users = folder.path().join("ca.pem");
    assert_eq!(fs::read_to_string(&for_users).unwrap(), text, "who may not look into state/ finds it in the root");
    assert_eq!(mode(&for_users), 0o644);
    assert_eq!(
        names(&folder.path().join("state")),
        ["admin", "audit", "boot", "ca.pem", "keys", "lkg", "lock", "logs", "quarantine"]
    );
}

#[test]
fn the_admin_certificate_passes_a_handshake_and_a_foreign_one_does_not() {
    let ((folder, root), (foreign_folder, foreign_root)) = (root(), root());
    let server = ServerIdentity::create(&root, NEW_YEAR).unwrap();
    let ca_file = folder.path().join("state/ca.pem");
    let authority = AdminAuthority::open(&root, NEW_YEAR).unwrap();
    let foreign = AdminAuthority::open(&foreign_root, NEW_YEAR).unwrap();
    let shake = |identity, now| handshake(&server, &ca_file, "localhost", identity, Some(&authority.ca), now);
    let own = || Some(admin_identity(folder.path()));
    assert_eq!(shake(own(), NEW_YEAR), Ok(()));
    assert_eq!(shake(own(), days_later(89)), Ok(()));
    assert!(shake(own(), days_later(91)).unwrap_err().contains("expired"));
    assert!(shake(Some(admin_identity(foreign_folder.path())), NEW_YEAR).is_err());
    assert!(shake(None, NEW_YEAR).is_err());
    assert_ne!(authority.issued[0].sha256, foreign.issued[0].sha256);
}

#[test]
fn a_client_certificate_is_no_server_and_the_reverse() {
    let (folder, root) = root();
    let server = ServerIdentity::create(&root, NEW_YEAR).unwrap();
    let authority = AdminAuthority::open(&root, NEW_YEAR).unwrap();
    let (certificate, key) = admin_identity(folder.path());
    let as_server = ServerIdentity { chain: vec![certificate], key };
    let ca_file = folder.path().join("state/admin/ca.pem");
    assert!(handshake(&as_server, &ca_file, "localhost", None, None, NEW_YEAR).is_err());
    let as_client = (server.chain[0].clone(), server.key.clone_key());
    let ca_file = folder.path().join("state/ca.pem");
    assert!(handshake(&server, &ca_file, "localhost", Some(as_client), Some(&authority.ca), NEW_YEAR).is_err());
}

fn admin_files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let admin = folder.join("state/admin");
    names(&admin).into_iter().map(|name| (name.clone(), fs::read(admin.join(name)).unwrap())).collect()
}

#[test]
fn the_first_start_makes_the_admin_files_and_the_next_ones_leave_them() {
    let (folder, root) = root();
    let first = AdminAuthority::open(&root, NEW_YEAR).unwrap();
    let files = admin_files(folder.path());
    let found: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, ["ca.key", "ca.pem", "client.key", "client.pem", "issued.json"]);
    for name in found {
        assert_eq!(mode(&folder.path().join("state/admin").join(name)), 0o600, "{name}");
    }
    let again = AdminAuthority::open(&root, days_later(50)).unwrap();
    assert_eq!((again.ca, &again.issued, again.notices), (first.ca, &first.issued, Vec::new()));
    assert_eq!(admin_files(folder.path()), files);
}

#[test]
fn the_client_certificate_is_renewed_after_two_thirds_of_its_life_and_the_old_one_counts_until_its_end() {
    let (folder, root) = root();
    let first = AdminAuthority::open(&root, NEW_YEAR).unwrap();
    let ca_file = folder.path().join("state/ca.pem");
    let server = ServerIdentity::create(&root, NEW_YEAR).unwrap();
    let old = admin_identity(folder.path());
    let second = AdminAuthority::open(&root, days_later(61)).unwrap();
    let new = admin_identity(folder.path());
    assert_eq!((second.issued.len(), &second.issued[0]), (2, &first.issued[0]));
    assert_ne!(old.0, new.0);
    for identity in [old, new] {
        assert_eq!(handshake(&server, &ca_file, "localhost", Some(identity), Some(&first.ca), days_later(61)), Ok(()));
    }
    let third = AdminAuthority::open(&root, days_later(95)).unwrap();
    assert_eq!((&third.issued, counting(&third, 95)), (&second.issued, second.issued[1..].to_vec()));
    let after_years = AdminAuthority::open(&root, days_later(700)).unwrap();
    assert_eq!(after_years.issued.len(), 1, "an expired one is made anew, and what is long over is forgotten");
    assert_ne!(after_years.issued, third.issued[1..]);
}

#[test]
fn a_crash_between_any_two_writes_is_mended_at_the_next_start() {
    let (folder, root) = root();
    let admin = folder.path().join("state/admin");
    let order = ["client.pem", "client.key", "issued.json", "ca.pem", "ca.key"];
    for missing in 1..=order.len() {
        AdminAuthority::open(&root, NEW_YEAR).unwrap();
        for name in &order[..missing] {
            fs::remove_file(admin.join(name)).unwrap();
        }
        let mended = AdminAuthority::open(&root, NEW_YEAR).unwrap();
        assert!(mended.notices.is_empty(), "{missing}: {:?}", mended.notices);
        let server = ServerIdentity::create(&root, NEW_YEAR).unwrap();
        let identity = Some(admin_identity(folder.path()));
        let ca_file = folder.path().join("state/ca.pem");
        let shaken = handshake(&server, &ca_file, "localhost", identity, Some(&mended.ca), NEW_YEAR);
        assert_eq!(shaken, Ok(()), "{missing}");
    }
}

#[test]
fn a_revoked_certificate_stays_revoked_after_a_restart() {
    let (folder, root) = root();
    let path = folder.path().join("state/admin/issued.json");
    AdminAuthority::open(&root, NEW_YEAR).unwrap();
    fs::write(&path, "[]").unwrap();
    for day in [0, 61, 100] {
        let authority = AdminAuthority::open(&root, days_later(day)).unwrap();
        assert!(authority.issued.is_empty());
        assert!(authority.notices[0].contains("client.pem") && authority.notices[0].contains("Remove it"), "{day}");
    }
}

#[test]
fn without_the_ca_key_nothing_is_renewed_and_that_is_said() {
    let (folder, root) = root();
    let first = AdminAuthority::open(&root, NEW_YEAR).unwrap();
    fs::remove_file(folder.path().join("state/admin/ca.key")).unwrap();
    let second = AdminAuthority::open(&root, days_later(61)).unwrap();
    assert_eq!((&second.ca, &second.issued), (&first.ca, &first.issued));
    assert!(second.notices[0].contains("ca.key"));
    assert!(counting(&AdminAuthority::open(&root, days_later(91)).unwrap(), 91).is_empty());
}

/// Spoils one admin file: the start is refused with a sentence that has these words and the file's name.
fn check(name: &str, spoil: impl FnOnce(&Path), words: &str) {
    let (folder, root): (_, Root) = root();
    AdminAuthority::open(&root, NEW_YEAR).unwrap();
    let path = folder.path().join("state/admin").join(name);
    spoil(&path);
    let error: RootError = AdminAuthority::open(&root, NEW_YEAR).unwrap_err();
    assert!(error.to_string().contains(name) && error.to_string().contains(words), "{error}");
}

#[test]
fn a_file_of_others_or_of_another_kind_is_refused() {
    let readable = |path: &Path| super::support::set_mode(path, 0o640);
    check("ca.key", readable, "chmod 600");
    check("ca.pem", readable, "chmod 600");
    check("client.key", readable, "chmod 600");
    check("client.pem", readable, "chmod 600");
    check("issued.json", readable, "chmod 600");
    let overwrite = |path: &Path| fs::write(path, "nonsense").unwrap();
    check("ca.key", overwrite, "not a private key");
    check("ca.pem", overwrite, "not a certificate");
    check("client.pem", overwrite, "not a certificate");
    check("issued.json", overwrite, "not a list");
    let link = |path: &Path| {
        let elsewhere = path.with_extension("moved");
        fs::rename(path, &elsewhere).unwrap();
        symlink(&elsewhere, path).unwrap();
    };
    check("ca.key", link, "symbolic link");
    if rustix::process::geteuid().is_root() {
        check("ca.key", |path| std::os::unix::fs::chown(path, Some(12345), None).unwrap(), "belongs to user 12345");
    }
    let (other_folder, other) = root();
    AdminAuthority::open(&other, NEW_YEAR).unwrap();
    let other_ca = fs::read(other_folder.path().join("state/admin/ca.pem")).unwrap();
    check("ca.pem", move |path| fs::write(path, other_ca).unwrap(), "does not belong to ca.key");
}

fn issue(
    root: &Root,
    name: &str,
    days: u16,
    request: &str,
    now: WallTime,
) -> Result<(AdminCertificate, String), NotChanged> {
    let change = CertificateChange::Issue { name: name.to_owned(), days, request: request.to_owned() };
    AdminAuthority::change(root, &change, now).map(|changed| changed.issued.unwrap())
}

#[test]
fn who_asks_keeps_the_key_and_gets_a_certificate_that_lives_as_long_as_asked() {
    let (folder, root) = root();
    let server = ServerIdentity::create(&root, NEW_YEAR).unwrap();
    let authority = AdminAuthority::open(&root, NEW_YEAR).unwrap();
    let place = folder.path().join("for-alice");
    let asked = SigningRequest::create("alice").unwrap();
    assert!(!asked.pem.contains("PRIVATE"));
    let key = asked.write_key(&place, "alice").unwrap();
    let (issued, pem) = issue(&root, "alice", 10, &asked.pem, NEW_YEAR).unwrap();
    let certificate = SigningRequest::write_certificate(&place, "alice", &pem).unwrap();
    assert_eq!((mode(&key), mode(&certificate)), (0o600, 0o600));
    assert_eq!((issued.name.as_str(), issued.not_after), ("alice", days_later(10)));
    assert_eq!(AdminAuthority::open(&root, NEW_YEAR).unwrap().issued, [authority.issued, vec![issued]].concat());
    let ca_file = folder.path().join("state/ca.pem");
    let shake = |days| {
        let identity =
            (CertificateDer::from_pem_file(&certificate).unwrap(), PrivateKeyDer::from_pem_file(&key).unwrap());
        handshake(&server, &ca_file, "localhost", Some(identity), Some(&authority.ca), days_later(days))
    };
    assert_eq!(shake(9), Ok(()));
    assert!(shake(11).unwrap_err().contains("expired"));
    let error = asked.write_key(&place, "alice").unwrap_err().to_string();
    assert!(error.contains("alice.key is there already"), "{error}");
}

#[test]
fn a_request_that_its_key_did_not_sign_is_none() {
    let (folder, root) = root();
    let before = AdminAuthority::open(&root, NEW_YEAR).unwrap().issued;
    let good = SigningRequest::create("alice").unwrap().pem;
    let lines: Vec<&str> = good.lines().collect();
    let inside = lines[1..lines.len() - 1].concat();
    // The last letters belong to the signature, the first ones to what it signs.
    let spoiled = |place: usize| {
        let mut letters: Vec<char> = inside.chars().collect();
        letters[place] = if letters[place] == 'A' { 'B' } else { 'A' };
        format!("{}\n{}\n{}\n", lines[0], letters.into_iter().collect::<String>(), lines[lines.len() - 1])
    };
    assert!(issue(&root, "control", 1, &spoiled(0).replace(&spoiled(0), &good), NEW_YEAR).is_ok());
    let others = fs::read_to_string(folder.path().join("state/admin/client.pem")).unwrap();
    for request in
        [String::new(), String::from("x"), spoiled(inside.len() - 8), spoiled(60), others, "A".repeat(1 << 19)]
    {
        let refused = issue(&root, "alice", 1, &request, NEW_YEAR);
        assert!(matches!(refused, Err(NotChanged::Request(_))), "{refused:?}");
    }
    assert_eq!(AdminAuthority::open(&root, NEW_YEAR).unwrap().issued.len(), before.len() + 1);
}

#[test]
fn revoking_is_on_disk_and_no_renewal_undoes_it() {
    let (_folder, root) = root();
    let own = AdminAuthority::open(&root, NEW_YEAR).unwrap().issued.remove(0);
    let sha256 = [own.sha256].into();
    let change = CertificateChange::Revoke { sha256, by: String::from("alice") };
    let changed = AdminAuthority::change(&root, &change, days_later(1)).unwrap();
    let revoked = changed.list[0].revoked.clone().unwrap();
    assert_eq!((revoked.by.as_str(), revoked.at), ("alice", days_later(1)));
    AdminAuthority::change(&root, &change, days_later(2)).unwrap();
    for day in [3, 61, 80] {
        let authority = AdminAuthority::open(&root, days_later(day)).unwrap();
        assert_eq!(authority.issued[0].revoked, Some(revoked.clone()), "the first time stays");
        assert!(counting(&authority, day).is_empty() && authority.notices[0].contains("Remove it"));
        let renewed = AdminAuthority::change(&root, &CertificateChange::Renew, days_later(day));
        assert!(matches!(renewed, Err(NotChanged::Failed(why)) if why.contains("is revoked")));
    }
}

#[test]
fn a_running_agent_renews_what_is_due_and_nothing_else() {
    let (folder, root) = root();
    AdminAuthority::open(&root, NEW_YEAR).unwrap();
    let renew = |days| AdminAuthority::change(&root, &CertificateChange::Renew, days_later(days)).unwrap();
    let files = admin_files(folder.path());
    assert_eq!(renew(50).issued, None);
    assert_eq!(admin_files(folder.path()), files);
    let (issued, pem) = renew(61).issued.unwrap();
    assert_eq!((issued.name.as_str(), issued.not_after), ("client", days_later(61 + 90)));
    assert_eq!(fs::read_to_string(folder.path().join("state/admin/client.pem")).unwrap(), pem);
    assert_eq!(renew(61).issued, None);
    fs::remove_file(folder.path().join("state/admin/ca.key")).unwrap();
    assert!(AdminAuthority::change(&root, &CertificateChange::Renew, days_later(140)).is_err());
}

#[test]
fn the_files_of_a_stopped_agent_are_opened_by_one_alone_and_no_start_is_counted() {
    let (folder, root) = root();
    assert!(matches!(Root::open_stopped(folder.path()), Err(RootError::Locked { .. })));
    let boot = fs::read(folder.path().join("state/boot")).unwrap();
    drop(root);
    let stopped = Root::open_stopped(folder.path()).unwrap();
    assert_eq!(fs::read(folder.path().join("state/boot")).unwrap(), boot);
    assert!(matches!(Root::open(folder.path()), Err(RootError::Locked { .. })));
    drop(stopped);
    let nothing = tempfile::tempdir().unwrap();
    assert!(Root::open_stopped(nothing.path()).unwrap_err().to_string().contains("no agent ever ran"));
    assert_eq!(names(nothing.path()), Vec::<String>::new(), "nothing is made");
}
