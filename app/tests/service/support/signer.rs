//! A signer of programs and policies, who signs as an administrator does: with `castellan sign`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use serde_json::Value;

use super::{Stage, binary};

/// A certificate for code signing with its key, in files.
pub(crate) struct Signer {
    certificate: PathBuf,
    key: PathBuf,
}

impl Signer {
    /// A new signer of this name, whose files stand in the stage's own folder.
    pub(crate) fn new(stage: &Stage, name: &str) -> Self {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let file = |end: &str| stage.folder().join(format!("{name}.{end}"));
        let signer = Self { certificate: file("pem"), key: file("key") };
        fs::write(&signer.certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
        fs::write(&signer.key, pair.serialize_pem()).unwrap();
        signer
    }

    /// Signs a file; the pin of the signer.
    #[track_caller]
    pub(crate) fn sign(&self, file: &Path) -> String {
        let mut command = Command::new(binary());
        command.arg("sign").arg(file).arg("--cert").arg(&self.certificate).arg("--key").arg(&self.key);
        let output = command.arg("--json").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["sha256"].as_str().unwrap().to_owned()
    }
}
