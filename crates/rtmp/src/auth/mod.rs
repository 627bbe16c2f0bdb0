//! User and password inside `connect`, in Adobe's and Limelight's manner: three connections, of which the first two are
//! refused with a description that the encoder reads.
//!
//! ```text
//!  app                                    ─▶ 403 need auth; authmod=adobe
//!  app?authmod=adobe&user=U               ─▶ ?reason=needauth&user=U&salt=S&challenge=C&opaque=C
//!  app?authmod=adobe&user=U&response=R …  ─▶ let in, or ?reason=authfailed
//! ```
//! Everything is a function of the secret, the time and what is kept of a user, so nothing is remembered between the
//! connections and they may even reach different processes with one secret. Challenges live for [`WINDOW_S`] to three
//! times that; whoever hears an answer on the wire can repeat it as long, which the dialogue cannot prevent without
//! TLS below it.
//!
//! Unknown users are challenged with a salt of their own and fail as a wrong password does. The dialogue knows
//! `reason=nosuchuser`, which would tell a stranger which names are worth trying; the encoder's user sees "wrong
//! user or password" in either case.

mod claim;

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq;

pub use claim::{Claim, Method};
use claim::{LimelightAnswer, Proof};

/// Challenges change this often, in seconds. Three are valid at a time.
pub const WINDOW_S: u64 = 30;
/// Longest user name, in bytes; what is longer would not fit the 255 bytes of a description.
pub const USER_MAX: usize = 64;
/// Characters of a salt, all hexadecimal.
pub const SALT_LEN: usize = 16;
/// Realm of Limelight's digest, which clients hold as a constant.
const REALM: &str = "live";

/// What is kept of a user's password: enough to check either dialogue, in place of the password itself. The dialogues
/// are built on MD5, so a short password could be found from it by trying; generated ones cannot.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    salt: String,
    adobe: String,
    limelight: String,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(<redacted>)")
    }
}

impl Verifier {
    /// For a user's password and a random salt of [`SALT_LEN`] hexadecimal characters.
    pub fn new(user: &str, password: &str, salt: &str) -> Self {
        Self {
            adobe: md5_base64(&[user, salt, password]),
            limelight: md5_hex(&[user, ":", REALM, ":", password]),
            salt: salt.to_owned(),
        }
    }

    /// From what [`Self::parts`] gave.
    pub fn from_parts(salt: String, adobe: String, limelight: String) -> Self {
        Self { salt, adobe, limelight }
    }

    /// Salt, Adobe's `H1` and Limelight's `HA1`, for storing. The last two are as good as the password to whoever
    /// holds them.
    pub fn parts(&self) -> (&str, &str, &str) {
        (&self.salt, &self.adobe, &self.limelight)
    }

    /// Whether `password` is the one it was made of.
    pub fn fits(&self, user: &str, password: &str) -> bool {
        same(&md5_base64(&[user, &self.salt, password]), &self.adobe)
    }
}

/// Whether encoders can carry `user` through the dialogue, where nothing is escaped: 1 to [`USER_MAX`] letters, digits,
/// and `.`, `_`, `-`, `@`.
pub fn is_user_name(user: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    (1..=USER_MAX).contains(&user.len()) && user.bytes().all(plain)
}

/// What a `connect` is answered with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The user has the password.
    Proven {
        /// Its name.
        user: String,
    },
    /// Not yet: the description of the `_error`, from which the encoder makes its next attempt.
    Ask {
        /// For the `_error`.
        description: String,
    },
    /// Wrong user or password.
    Failed {
        /// For the `_error`.
        description: String,
    },
}

/// Challenges, and checks what comes back.
#[derive(Clone)]
pub struct Challenger {
    secret: [u8; 32],
}

impl fmt::Debug for Challenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenger")
    }
}

impl Challenger {
    /// With a secret that outlives restarts, so that the salts of unknown users do as well.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// The answer to a `connect` that carries `claim`, or to one that carries none and is to be challenged. `verifier`
    /// is that of the claim's user, if there is such a user; `now` is the time since 1970.
    pub fn answer(&self, claim: Option<&Claim>, verifier: Option<&Verifier>, now: Duration) -> Outcome {
        let method = claim.map_or(Method::Adobe, |claim| claim.method);
        let Some((claim, user)) = claim.and_then(|claim| Some((claim, claim.user()?))) else {
            return Outcome::Ask {
                description: format!(
                    "[ AccessManager.Reject ] : [ code=403 need auth; authmod={} ] : ",
                    method.as_str()
                ),
            };
        };
        let reject = |reason: &str| {
            format!("[ AccessManager.Reject ] : [ authmod={} ] : ?reason={reason}", method.as_str())
        };
        let failed = || Outcome::Failed { description: reject("authfailed") };
        if !is_user_name(user) {
            return failed();
        }
        let known = verifier.is_some();
        let verifier = verifier.cloned().unwrap_or_else(|| self.stand_in(user));
        let window = now.as_secs() / WINDOW_S;
        let proof = match &claim.proof {
            None => {
                let nonce = self.nonce(method, user, window);
                let salt = &verifier.salt;
                return Outcome::Ask {
                    description: match method {
                        Method::Adobe => reject(&format!(
                            "needauth&user={user}&salt={salt}&challenge={nonce}&opaque={nonce}"
                        )),
                        Method::Limelight => reject(&format!("needauth&user={user}&nonce={nonce}")),
                    },
                };
            }
            Some(proof) => proof,
        };
        let proven = (0..3).filter_map(|age| window.checked_sub(age)).fold(false, |proven, window| {
            let nonce = self.nonce(method, user, window);
            let fits = match proof {
                Proof::Adobe { challenge, response } => {
                    same(&md5_base64(&[&verifier.adobe, &nonce, challenge]), response)
                }
                Proof::Limelight(answer) => same(&answer.nonce, &nonce) & fits_digest(&verifier, answer),
            };
            proven | fits
        });
        if proven && known { Outcome::Proven { user: user.to_owned() } } else { failed() }
    }

    /// What a user who does not exist is checked against: the same salt at every attempt, and a password nobody knows.
    fn stand_in(&self, user: &str) -> Verifier {
        let salt = &self.hash("salt", user, 0)[..SALT_LEN];
        Verifier::new(user, &self.hash("password", user, 0), salt)
    }

    fn nonce(&self, method: Method, user: &str, window: u64) -> String {
        self.hash(method.as_str(), user, window)[..16].to_owned()
    }

    fn hash(&self, what: &str, user: &str, number: u64) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        for part in [what.as_bytes(), &[0], user.as_bytes(), &[0], &number.to_be_bytes()] {
            mac.update(part);
        }
        hex(&mac.finalize().into_bytes())
    }
}

/// Limelight's digest is that of HTTP (RFC 2617 §3.2.2.1), over the method `publish` and the application. Clients
/// disagree on what the application is once credentials stand behind it, so each reading is tried.
fn fits_digest(verifier: &Verifier, answer: &LimelightAnswer) -> bool {
    answer.applications.iter().fold(false, |fits, app| {
        let instance = if app.contains('/') { "" } else { "/_definst_" };
        let path = md5_hex(&["publish:/", app, instance]);
        let LimelightAnswer { nonce, cnonce, count, .. } = answer;
        let want = md5_hex(&[&verifier.limelight, ":", nonce, ":", count, ":", cnonce, ":auth:", &path]);
        fits | same(&want, &answer.response)
    })
}

/// Compares in a time that depends on the lengths alone.
fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn md5(parts: &[&str]) -> [u8; 16] {
    let mut hasher = Md5::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

fn md5_base64(parts: &[&str]) -> String {
    BASE64.encode(md5(parts))
}

fn md5_hex(parts: &[&str]) -> String {
    hex(&md5(parts))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
