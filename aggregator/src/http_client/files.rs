//! What a connection needs of files: authorities, a certificate, a token or a password.

use std::path::Path;
use std::sync::Arc;

use hyper::header::HeaderValue;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::{Credentials, HttpError, Target};

/// The largest token or password.
const MAX_SECRET_BYTES: usize = 64 << 10;

/// What makes TLS connections to a target; none where its address is http://.
pub(super) fn connector(target: &Target) -> Result<Option<TlsConnector>, HttpError> {
    let Some(file) = &target.ca_file else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(file)?);
    if roots.is_empty() {
        return Err(unusable(file, "it has no authority that can be used"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(HttpError::Tls)?
        .with_root_certificates(roots);
    let config = match &target.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable(key, e))?;
            let chain = certificates(certificate)?;
            builder.with_client_auth_cert(chain, secret).map_err(HttpError::Tls)?
        }
    };
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

/// The value of the `authorization` header, if there is one.
pub(super) fn authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, HttpError> {
    let (file, text) = match credentials {
        Credentials::None => return Ok(None),
        Credentials::Bearer(file) => (file, format!("Bearer {}", secret(file)?)),
        Credentials::Basic { username, password_file } => {
            let pair = format!("{username}:{}", secret(password_file)?);
            (password_file, format!("Basic {}", base64(pair.as_bytes())))
        }
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| unusable(file, "it has characters that no header can have"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    all.map_err(|error| unusable(file, error))
}

/// The content of a file without the white space around it.
fn secret(file: &Path) -> Result<String, HttpError> {
    let text = std::fs::read_to_string(file).map_err(|error| unusable(file, error))?;
    match text.trim() {
        "" => Err(unusable(file, "it is empty")),
        text if text.len() > MAX_SECRET_BYTES => Err(unusable(file, "it is too large")),
        text => Ok(text.to_owned()),
    }
}

fn unusable(file: &Path, what: impl ToString) -> HttpError {
    HttpError::File { path: file.to_owned(), what: what.to_string() }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().chain([&0, &0]).take(3).fold(0_u32, |g, b| g << 8 | u32::from(*b));
        for digit in 0..4 {
            let value = (group >> (18 - 6 * digit)) & 63;
            text.push(if digit > chunk.len() { '=' } else { char::from(DIGITS[value as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (text, want) in pairs {
            assert_eq!(base64(text.as_bytes()), want);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
