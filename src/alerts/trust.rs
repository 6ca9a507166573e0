//! Whom we believe that a service is the one that it says.
//!
//! The machine's own roots where it has any, `SSL_CERT_FILE` and `SSL_CERT_DIR` included: many a firm has services of its own, and looks into
//! its connections to others. A bare container has none; then those count that come with the program.

use std::sync::Arc;

use lettre::transport::smtp::client::CertificateStore;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// For HTTPS. Read anew for each message: those are rare, and roots change.
pub(super) fn for_http() -> TlsConfig {
    let own = rustls_native_certs::load_native_certs().certs;
    let roots = if own.is_empty() {
        RootCerts::WebPki
    } else {
        RootCerts::Specific(Arc::new(own.iter().map(|root| Certificate::from_der(root).to_owned()).collect()))
    };
    TlsConfig::builder().root_certs(roots).build()
}

/// `error` with what to do, where it is that nobody vouches for the service.
pub(super) fn advise(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    match text.contains("UnknownIssuer") {
        true => format!(
            "{text}; if its authority is your own, put that into the machine's roots, or name it by SSL_CERT_FILE"
        ),
        false => text,
    }
}

/// For mail.
pub(super) fn for_mail() -> CertificateStore {
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        CertificateStore::WebpkiRoots
    } else {
        CertificateStore::Default
    }
}
