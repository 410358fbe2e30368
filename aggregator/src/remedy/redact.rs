//! Takes secrets out of texts before they leave the process or stand in an answer.
//!
//! What looks like a secret goes, even where it is none: a text that has lost a word too many is
//! worth more than one with a password.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

/// Expression and what takes its place.
static SECRETS: LazyLock<Vec<(Regex, &'static [u8])>> = LazyLock::new(|| {
    let rules: [(&str, &'static [u8]); 7] = [
        (r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\z)", b"[secret]"),
        (r"\beyJ[a-z0-9_-]{8,}\.[a-z0-9_-]{8,}(?:\.[a-z0-9_-]*)?", b"[secret]"),
        (r"\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}", b"$1 [secret]"),
        (r#"(\w+://)[^\s/"'<>]+@"#, b"${1}[secret]@"),
        (
            r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[a-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|sk-[\w-]{16,}|sha256~[\w-]{20,}|AIza[\w-]{30,}|hv[sb]\.[\w-]{20,})",
            b"[secret]",
        ),
        (
            r#"([\w.-]*(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)[\w-]*["']?\s*(?:[:=]|=>)\s*)(?:"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,;&"'}\]]+)"#,
            b"${1}[secret]",
        ),
        (r"(\s--?(?:pass(?:word|wd)?|token|secret|api-?key)\s+)[^\s-]\S*", b"${1}[secret]"),
    ];
    rules.map(|(expression, with)| (compiled(expression), with)).into()
});

static ADDRESSES: LazyLock<Vec<(Regex, &'static [u8])>> = LazyLock::new(|| {
    let rules: [(&str, &'static [u8]); 3] = [
        (r"\b[a-z0-9._%+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+\b", b"[email]"),
        (r"\b(?:\d{1,3}\.){3}\d{1,3}\b", b"[address]"),
        (
            r"\b(?:[0-9a-f]{1,4}:){3,7}(?::?[0-9a-f]{1,4})+\b|\b[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*::[0-9a-f:]*",
            b"[address]",
        ),
    ];
    rules.map(|(expression, with)| (compiled(expression), with)).into()
});

fn compiled(expression: &str) -> Regex {
    RegexBuilder::new(expression)
        .unicode(false)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .build()
        .expect("the expressions are constants, and a test uses each")
}

/// A text without tokens, keys, passwords and certificates' keys; with `addresses`, without
/// e-mail and IP addresses either.
#[must_use]
pub fn redact(text: &str, addresses: bool) -> String {
    let more = if addresses { ADDRESSES.as_slice() } else { &[] };
    let mut bytes = text.as_bytes().to_vec();
    for (expression, with) in SECRETS.iter().chain(more) {
        if let std::borrow::Cow::Owned(changed) = expression.replace_all(&bytes, *with) {
            bytes = changed;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        let f = |text: &str, want: &str| assert_eq!(redact(text, false), want, "{text}");
        f("password=hunter2 next", "password=[secret] next");
        f(r#"{"api_key": "abc def", "a": 1}"#, r#"{"api_key": [secret], "a": 1}"#);
        f("DB_PASSWORD: 'x y'", "DB_PASSWORD: [secret]");
        f("Authorization: Bearer abcdef123456789", "Authorization: Bearer [secret]");
        f("postgres://app:s3cr3t@db:5432/x", "postgres://[secret]@db:5432/x");
        f("amqp://me:p@ss:w@mq/v", "amqp://[secret]@mq/v");
        f("https://ghtoken@host/a?token=abc&b=c", "https://[secret]@host/a?token=[secret]&b=c");
        f("authorization: basic dXNlcjpwYXNz", "authorization: basic [secret]");
        f("mysql --password hunter2 --host db", "mysql --password [secret] --host db");
        f("login --token --verbose", "login --token --verbose");
        f("apiVersion: v1, clientSecret=\"a\\\"b\", x", "apiVersion: v1, clientSecret=[secret], x");
        f("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sig-x ok", "jwt [secret] ok");
        f("key AKIAIOSFODNN7EXAMPLE!", "key [secret]!");
        f("ghp_0123456789abcdefghijABCDEFGHIJ012345", "[secret]");
        f(
            "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nb",
            "a\n[secret]\nb",
        );
        f("-----BEGIN PRIVATE KEY-----\ncut off", "[secret]");
        f("sha256~abcdefghijklmnopqrstuvwxyz012345", "[secret]");
        let plain = "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus. ü";
        f(plain, plain);
    }

    #[test]
    fn addresses_go_when_asked() {
        let text = "mail a.b@example.org from 10.1.2.3 and fe80::1:2 at 0000:3b:00.0";
        assert_eq!(redact(text, false), text);
        let without = redact(text, true);
        assert!(without.starts_with("mail [email] from [address] and [address]"), "{without}");
        assert!(without.contains("0000:3b:00.0"), "{without}");
    }
}
