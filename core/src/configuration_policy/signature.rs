//! Whether a policy is signed as the settings want it: by the rules that hold for programs that the agent executes.

use alloc::format;

use super::PolicyContent;
use crate::config::Settings;
use crate::time::WallTime;
use crate::trust::signature::{SignatureFile, SignaturePolicy, Verdict};
use crate::why::Explanation;

/// Why a policy is not applied for its signature. One that is not signed counts unless `RequireSignedPolicies` says otherwise; a
/// signature that is there has to be right in any case.
pub(crate) fn refusal(name: &str, content: &PolicyContent, settings: &Settings, now: WallTime) -> Option<Explanation> {
    let facts = content.signature.as_ref()?;
    let what = || format!("The policy {name} is not applied: its signature is not trusted.");
    if matches!(facts.file, SignatureFile::Missing(_)) {
        return settings.require_signed_policies.then(|| {
            let why = "It is not signed, and Settings:RequireSignedPolicies is true.";
            let fix = format!(
                "Sign it: castellan sign Policies/{name}.json --cert CERT.pem --key KEY.pem; Settings:AlternativeSignatures names the signer."
            );
            Explanation::new(what(), why, fix)
        });
    }
    let Explanation { why, fix, .. } = Verdict::of_own(facts, SignaturePolicy::of(settings), now).refusal?;
    Some(Explanation::new(what(), why, fix))
}
