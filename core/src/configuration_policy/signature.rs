//! Whether a policy is signed as the settings want it: by the rules that hold for programs that the agent executes.

use alloc::format;
use alloc::string::String;

use super::{AppliedPolicy, PolicyContent, PolicyKey, PolicySigner};
use crate::config::Settings;
use crate::policy::COLLECTIONS;
use crate::time::WallTime;
use crate::trust::signature::{SignatureFile, SignaturePolicy, Verdict};
use crate::why::Explanation;

/// What stands against a policy that nobody signed.
const NOT_SIGNED: &str = "It is not signed, and Settings:RequireSignedPolicies is true.";

/// Who signed a policy, where that counts. One that is not signed counts unless `RequireSignedPolicies` says otherwise; a signature that
/// is there has to be right in any case.
///
/// # Errors
/// Why it is not applied.
pub(crate) fn signer(
    PolicyKey { name, source }: &PolicyKey,
    content: &PolicyContent,
    settings: &Settings,
    now: WallTime,
) -> Result<Option<PolicySigner>, Explanation> {
    let what = || format!("The policy {name} of {source} was refused: its signature is not trusted.");
    let Some(facts) = content.signature.as_ref() else { return Ok(None) };
    if matches!(facts.file, SignatureFile::Missing(_)) {
        if !settings.require_signed_policies {
            return Ok(None);
        }
        let below = if source == COLLECTIONS { "collections/" } else { "" };
        let fix = format!(
            "Sign it: castellan sign Policies/{below}{name}.json --cert CERT.pem --key KEY.pem; Settings:AlternativeSignatures names the signer."
        );
        return Err(Explanation::new(what(), NOT_SIGNED, fix));
    }
    let policy = SignaturePolicy::of(settings);
    match Verdict::of_own(facts, policy, now).refusal {
        Some(Explanation { why, fix, .. }) => Err(Explanation::new(what(), why, fix)),
        None => Ok(policy.signer_of(facts).map(PolicySigner::of)),
    }
}

/// Why a policy that was applied counts no more, if it does not: its signer left the settings, or it has none and they want one now.
pub(crate) fn distrust(applied: &AppliedPolicy, settings: &Settings) -> Option<String> {
    match &applied.signer {
        None => settings.require_signed_policies.then(|| String::from(NOT_SIGNED)),
        Some(PolicySigner { sha1, sha256 }) => {
            let is_pinned = settings.alternative_signatures.iter().any(|pin| pin == sha1 || pin == sha256);
            (!is_pinned).then(|| format!("Its signer {sha256} is not one of Settings:AlternativeSignatures any more."))
        }
    }
}
