//! The vectors of RFC 6238, and a user who tries. HMAC-SHA1 is the adapter's; here its results stand as constants.

use std::string::{String, ToString};
use std::vec::Vec;

use super::{EnrolledUser, Secret, Standing, Verdict, at, is_user, judge, uri};
use crate::time::WallTime;

/// Of the secret "12345678901234567890" and these steps, by `openssl dgst -sha1 -hmac`; of other steps something else.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 20] {
    let step = u64::from_be_bytes(message.try_into().unwrap());
    let known = VECTORS.iter().find(|(known, ..)| *known == step);
    match known {
        Some((_, hash, _)) if key == SECRET => *hash,
        _ => [u8::try_from(step % 251).unwrap(); 20],
    }
}

const SECRET: &[u8] = b"12345678901234567890";
/// Steps, HMAC-SHA1 of them, and the eight digits of RFC 6238 appendix B.
const VECTORS: [(u64, [u8; 20], u32); 6] = [
    (
        1,
        [
            0x75, 0xa4, 0x8a, 0x19, 0xd4, 0xcb, 0xe1, 0x00, 0x64, 0x4e, 0x8a, 0xc1, 0x39, 0x7e, 0xea, 0x74, 0x7a, 0x2d,
            0x33, 0xab,
        ],
        94287082,
    ),
    (
        37037036,
        [
            0x27, 0x8c, 0x02, 0xe5, 0x36, 0x10, 0xf8, 0x4c, 0x40, 0xbd, 0x91, 0x35, 0xac, 0xd4, 0x10, 0x10, 0x12, 0x41,
            0x0a, 0x14,
        ],
        7081804,
    ),
    (
        37037037,
        [
            0xb0, 0x09, 0x2b, 0x21, 0xd0, 0x48, 0xaf, 0x20, 0x9d, 0xa0, 0xa1, 0xdd, 0xd4, 0x98, 0xad, 0xe8, 0xa7, 0x94,
            0x87, 0xed,
        ],
        14050471,
    ),
    (
        41152263,
        [
            0x90, 0x7c, 0xd1, 0xa9, 0x11, 0x65, 0x64, 0xec, 0xb9, 0xd5, 0xd1, 0x78, 0x03, 0x25, 0xf2, 0x46, 0x17, 0x3f,
            0xe7, 0x03,
        ],
        89005924,
    ),
    (
        66666666,
        [
            0x25, 0xa3, 0x26, 0xd3, 0x1f, 0xc3, 0x66, 0x24, 0x4c, 0xad, 0x05, 0x49, 0x76, 0x02, 0x0c, 0x7b, 0x56, 0xb1,
            0x3d, 0x5f,
        ],
        69279037,
    ),
    (
        666666666,
        [
            0xab, 0x07, 0xe9, 0x7e, 0x2c, 0x12, 0x78, 0x76, 0x9d, 0xbc, 0xd7, 0x57, 0x83, 0xaa, 0xbd, 0xe7, 0x5e, 0xd8,
            0x55, 0x0a,
        ],
        65353130,
    ),
];

fn seconds(seconds: i64) -> WallTime {
    WallTime::from_millis(seconds.saturating_mul(1000))
}

fn said(code: u32) -> Secret {
    Secret::new(std::format!("{code:06}"))
}

#[test]
fn the_vectors_of_rfc_6238_come_out() {
    for (step, _, code) in VECTORS {
        // The RFC has eight digits.
        assert_eq!(at(SECRET, step, hmac), code % 1_000_000, "step {step}");
        let (standing, verdict) =
            judge(Standing::default(), SECRET, &said(code % 1_000_000), seconds(step as i64 * 30), hmac);
        assert_eq!((verdict, standing.last_step), (Verdict::Verified, Some(step)));
    }
}

/// What follows from these codes, one second apart.
fn judged(standing: &mut Standing, from: i64, codes: &[Secret]) -> Vec<Verdict> {
    let one = |(at, code): (i64, &Secret)| {
        let (after, verdict) = judge(*standing, SECRET, code, seconds(at), hmac);
        *standing = after;
        verdict
    };
    (from..).zip(codes).map(one).collect()
}

#[test]
fn a_code_counts_one_step_around_its_own_and_once() {
    let code = |step: u64| said(at(SECRET, step, hmac));
    for (now, counts) in [(0, false), (1, true), (2, true), (3, true), (4, false)] {
        let (_, verdict) = judge(Standing::default(), SECRET, &code(102), seconds((100 + now) * 30), hmac);
        assert_eq!(verdict == Verdict::Verified, counts, "at step {}", 100 + now);
    }
    let mut standing = Standing::default();
    let used = judged(&mut standing, 102 * 30, &[code(102), code(102), code(101), code(103), code(103)]);
    let wrong = |left| Verdict::Wrong { left };
    assert_eq!(used, [Verdict::Verified, wrong(4), wrong(3), Verdict::Verified, wrong(4)]);
}

#[test]
fn five_wrong_codes_lock_for_five_minutes_also_the_right_one() {
    let right = |step: u64| said(at(SECRET, step, hmac));
    let texts = ["000000", "", "12345", "1234567", "12 34 5x"];
    let wrong: Vec<Secret> = texts.map(|text| Secret::new(String::from(text))).to_vec();
    let mut standing = Standing::default();
    let until = seconds(3004 + 300);
    let locked = Verdict::Locked { until };
    let left = |left| Verdict::Wrong { left };
    assert_eq!(judged(&mut standing, 3000, &wrong), [left(4), left(3), left(2), left(1), locked]);
    assert_eq!(judged(&mut standing, 3005, &[right(100)]), [locked], "it is not looked at");
    assert_eq!(judged(&mut standing, 3303, &[right(110)]), [locked]);
    assert_eq!(judged(&mut standing, 3304, &wrong[..1]), [left(4)], "and then all tries are there again");
    assert_eq!(judged(&mut standing, 3305, &[right(110)]), [Verdict::Verified]);
    assert_eq!(standing, Standing { last_step: Some(110), wrong: 0, locked_until: None });
}

#[test]
fn a_clock_that_is_set_back_locks_nobody_for_longer() {
    let standing = Standing { locked_until: Some(seconds(1_000_000)), ..Standing::default() };
    let (standing, verdict) = judge(standing, SECRET, &said(1), seconds(3000), hmac);
    assert_eq!(verdict, Verdict::Locked { until: seconds(3300) });
    assert_eq!(standing.locked_until, Some(seconds(3300)));
}

#[test]
fn blanks_between_the_digits_are_nobodys_mistake_and_nothing_prints_a_secret() {
    let code = said(at(SECRET, 100, hmac)).0;
    let (first, second) = code.split_at(3);
    let spaced = Secret::new(std::format!(" {first} {second}"));
    assert_eq!(judge(Standing::default(), SECRET, &spaced, seconds(3000), hmac).1, Verdict::Verified);
    assert_eq!(std::format!("{spaced:?}"), "Secret");
    let secret = Secret::new("JBSWY3DP".to_string());
    let expect =
        "otpauth://totp/Castellan:CORP%5Cal%3Fice?secret=JBSWY3DP&issuer=Castellan&algorithm=SHA1&digits=6&period=30";
    assert_eq!(uri("CORP\\al?ice", &secret), expect);
    for (name, is_one) in
        [("alice", true), ("CORP\\alice", true), ("", false), ("-a", false), ("a/b", false), ("a b", false)]
    {
        assert_eq!(is_user(name), is_one, "{name}");
    }
    let shown = EnrolledUser {
        user: "alice".to_string(),
        enrolled_at: String::new(),
        enrolled_by: String::new(),
        locked_until: None,
        used: false,
    };
    assert!(!serde_json::to_string(&shown).unwrap().contains("lockedUntil"));
}
