//! Who may do what. Without a tokens file the aggregator serves loopback only and everyone is
//! admin; with one, every call but health and readiness needs a bearer token of a sufficient role.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Shortest token: 128 bits in hexadecimal.
const MIN_TOKEN_BYTES: usize = 32;

/// The `[auth]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// TOML file with one `[[token]]` for each that may come in: `name`, `token`, `role` and,
    /// for an agent, the `node` that it is bound to.
    pub tokens_file: Option<PathBuf>,
}

/// What somebody may do; each but `agent` includes those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Push data, and nothing else.
    Agent,
    /// Read.
    Viewer,
    /// Read, acknowledge, silence.
    Operator,
    /// Everything, pushing data included.
    Admin,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub name: Arc<str>,
    pub role: Role,
    /// The only node that an agent may speak for; `None`: any.
    pub node: Option<Arc<str>>,
}

impl Principal {
    /// Whether it may do what needs `role`.
    #[must_use]
    pub fn may(&self, role: Role) -> bool {
        match role {
            Role::Agent => matches!(self.role, Role::Agent | Role::Admin),
            _ => self.role != Role::Agent && self.role >= role,
        }
    }
}

/// Why the configuration of access cannot work.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error(
        "{key} {addr} is not a loopback address and auth.tokens_file is not set: nobody could be told from anybody"
    )]
    Open { key: &'static str, addr: SocketAddr },
    #[error("read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("parse {path}")]
    Parse { path: PathBuf, source: toml::de::Error },
    #[error("{path}: token {name:?} {what}")]
    Token { path: PathBuf, name: String, what: &'static str },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensFile {
    #[serde(default)]
    token: Vec<TokenEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    name: String,
    token: String,
    role: Role,
    node: Option<String>,
}

/// Tells who calls.
#[derive(Debug, Clone)]
pub struct Authority {
    /// `None`: loopback without tokens.
    tokens: Option<Arc<[(String, Principal)]>>,
}

impl Authority {
    /// Reads the tokens and checks them against the listeners.
    ///
    /// # Errors
    /// [`AuthError`]: an open listener without tokens, or a file that cannot be used.
    pub fn new(
        config: &AuthConfig,
        listeners: &[(&'static str, SocketAddr)],
    ) -> Result<Self, AuthError> {
        let Some(path) = &config.tokens_file else {
            return match listeners.iter().find(|(_, addr)| !addr.ip().is_loopback()) {
                Some(&(key, addr)) => Err(AuthError::Open { key, addr }),
                None => Ok(Self { tokens: None }),
            };
        };
        Ok(Self { tokens: Some(read(path)?) })
    }

    /// Whether anyone may do anything, because only this host can call.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tokens.is_none()
    }

    /// Who comes with this `authorization` header.
    #[must_use]
    pub fn identify(&self, authorization: Option<&str>) -> Option<Principal> {
        let Some(tokens) = &self.tokens else {
            return Some(Principal { name: "loopback".into(), role: Role::Admin, node: None });
        };
        let (scheme, given) = authorization?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        // Every token is compared in full, so that time tells nothing about any of them.
        let mut found = None;
        for (token, principal) in tokens.iter() {
            if same(token.as_bytes(), given.trim().as_bytes()) {
                found = Some(principal);
            }
        }
        found.cloned()
    }

    /// Lets gRPC calls through that have the role.
    #[must_use]
    pub fn require(&self, role: Role) -> Require {
        Require { authority: self.clone(), role }
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

fn read(path: &Path) -> Result<Arc<[(String, Principal)]>, AuthError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| AuthError::Read { path: path.to_owned(), source })?;
    let file: TokensFile = toml::from_str(&text).map_err(|mut source| {
        // The message would show the line with the secret.
        source.set_input(None);
        AuthError::Parse { path: path.to_owned(), source }
    })?;
    let mut tokens: Vec<(String, Principal)> = Vec::new();
    for entry in file.token {
        let wrong =
            |what| AuthError::Token { path: path.to_owned(), name: entry.name.clone(), what };
        if entry.token.len() < MIN_TOKEN_BYTES {
            return Err(wrong("is shorter than 32 characters"));
        }
        if tokens.iter().any(|(known, _)| *known == entry.token) {
            return Err(wrong("is there under another name too"));
        }
        if entry.node.is_some() && entry.role != Role::Agent {
            return Err(wrong("has a node, which only an agent is bound to"));
        }
        let name = entry.name.as_str().into();
        let node = entry.node.as_deref().map(Into::into);
        tokens.push((entry.token, Principal { name, role: entry.role, node }));
    }
    Ok(tokens.into())
}

/// A gRPC interceptor: adds the [`Principal`] to the request or refuses it.
#[derive(Debug, Clone)]
pub struct Require {
    authority: Authority,
    role: Role,
}

impl Interceptor for Require {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get("authorization").and_then(|v| v.to_str().ok());
        let Some(principal) = self.authority.identify(header) else {
            return Err(Status::unauthenticated("no valid bearer token"));
        };
        if !principal.may(self.role) {
            let text = format!("{} has no role that allows this", principal.name);
            return Err(Status::permission_denied(text));
        }
        request.extensions_mut().insert(principal);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210";

    fn tokens(text: &str) -> Result<Authority, AuthError> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("tokens.toml");
        std::fs::write(&path, text).expect("write");
        Authority::new(&AuthConfig { tokens_file: Some(path) }, &[("listen.grpc", any())])
    }

    fn any() -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 1))
    }

    #[test]
    fn open_listener_needs_tokens() {
        let local = [("listen.http", SocketAddr::from(([127, 0, 0, 1], 1)))];
        assert!(Authority::new(&AuthConfig::default(), &local).expect("loopback").is_open());
        let error =
            Authority::new(&AuthConfig::default(), &[("listen.grpc", any())]).expect_err("open");
        assert!(error.to_string().starts_with("listen.grpc 0.0.0.0:1 is not a loopback"));
    }

    #[test]
    fn token_decides_who_and_what() {
        let text = format!(
            "[[token]]\nname='n1'\ntoken='{A}'\nrole='agent'\nnode='n1'\n[[token]]\nname='p'\ntoken='{B}'\nrole='viewer'\n"
        );
        let authority = tokens(&text).expect("valid");
        let who = |t: &str| authority.identify(Some(&format!("Bearer {t}")));
        let (agent, viewer) = (who(A).expect("agent"), who(B).expect("viewer"));
        assert_eq!(agent.node.as_deref(), Some("n1"));
        assert!(agent.may(Role::Agent) && !agent.may(Role::Viewer));
        assert!(
            viewer.may(Role::Viewer) && !viewer.may(Role::Agent) && !viewer.may(Role::Operator)
        );
        assert!(who("x").is_none() && authority.identify(None).is_none());
        assert!(authority.identify(Some(&format!("Basic {A}"))).is_none());
    }

    #[test]
    fn unusable_tokens_are_refused_without_showing_them() {
        let f = |text: &str, want: &str| {
            let error = tokens(text).expect_err(want);
            let text = sextant_proto::chain::chain(&error);
            assert!(text.contains(want) && !text.contains(A), "{text}");
        };
        f("[[token]]\nname='a'\ntoken='short'\nrole='agent'\n", "shorter than 32");
        f(&format!("[[token]]\nname='a'\ntoken='{A}'\nrole='root'\n"), "unknown variant");
        f(&format!("[[token]]\nname='a'\ntoken='{A}'\nrole='viewer'\nnode='x'\n"), "only an agent");
        let twice = format!("[[token]]\nname='a'\ntoken='{A}'\nrole='agent'\n");
        f(&format!("{twice}{twice}"), "under another name");
    }
}
