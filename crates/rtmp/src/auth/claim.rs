//! What a client appended to its application: `?authmod=adobe&user=U&challenge=C&response=R&opaque=O`.

use std::fmt;

/// A dialogue for user and password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `authmod=adobe`.
    Adobe,
    /// `authmod=llnw`: Limelight.
    Limelight,
}

impl Method {
    /// As it stands in the dialogue.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adobe => "adobe",
            Self::Limelight => "llnw",
        }
    }
}

/// What a client says about who it is. Values are taken as they stand: nothing is percent-decoded, since `+`, `/` and
/// `=` belong to base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which dialogue.
    pub method: Method,
    user: Option<String>,
    pub(super) proof: Option<Proof>,
}

/// The answer to a challenge.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Proof {
    Adobe { challenge: String, response: String },
    Limelight(LimelightAnswer),
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct LimelightAnswer {
    pub(super) nonce: String,
    pub(super) cnonce: String,
    pub(super) count: String,
    pub(super) response: String,
    /// What the client may have taken for its application.
    pub(super) applications: Vec<String>,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proof = self.proof.is_some();
        f.debug_struct("Claim").field("method", &self.method).field("proof", &proof).finish_non_exhaustive()
    }
}

impl Claim {
    /// Reads what stands behind the last `authmod=` of an application or server address; `None` where there is none,
    /// or it names a dialogue that is not spoken. Everything before it is the client's application.
    pub fn read(app: &str) -> Option<Self> {
        let at = app.rfind("?authmod=").or_else(|| app.rfind("&authmod="))?;
        let (before, pairs) = (&app[..at], &app[at + 1..]);
        let value = |key: &str| {
            let found = pairs.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            found.filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let method = match value("authmod")?.as_str() {
            "adobe" => Method::Adobe,
            "llnw" => Method::Limelight,
            _ => return None,
        };
        let proof = value("response").and_then(|response| match method {
            Method::Adobe => Some(Proof::Adobe { challenge: value("challenge")?, response }),
            Method::Limelight => Some(Proof::Limelight(LimelightAnswer {
                nonce: value("nonce")?,
                cnonce: value("cnonce").unwrap_or_default(),
                count: value("nc").unwrap_or_default(),
                response,
                applications: applications(before),
            })),
        });
        Some(Self { method, user: value("user"), proof })
    }

    /// The user's name, as claimed.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }
}

/// `live?authmod=llnw`, as FFmpeg takes it, and `live`.
fn applications(before: &str) -> Vec<String> {
    let bare = before.split('?').next().unwrap_or_default();
    let mut all = vec![before.to_owned()];
    if bare != before {
        all.push(bare.to_owned());
    }
    all
}
