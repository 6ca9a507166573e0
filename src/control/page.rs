//! The dashboard: one page that holds all it needs. Its parts lie in `dashboard/`; nothing builds them but the compiler.

use std::sync::LazyLock;

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Scripts in the order in which they use one another.
const PAGE: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<title>mho</title>\n<link id=\"icon\" rel=\"icon\" href=\"data:,\">\n<style>",
    include_str!("dashboard/style.css"),
    "</style>\n<body>\n",
    include_str!("dashboard/body.html"),
    "<script>\"use strict\";\n",
    include_str!("dashboard/tools.js"),
    include_str!("dashboard/api.js"),
    include_str!("dashboard/head.js"),
    include_str!("dashboard/scripts.js"),
    include_str!("dashboard/timeline.js"),
    include_str!("dashboard/history.js"),
    include_str!("dashboard/log.js"),
    include_str!("dashboard/main.js"),
    "</script>\n</body>\n</html>\n",
);

/// What the page may do: nothing but its own script and style, and nothing from elsewhere. Known by their sums, as whatever found its way into
/// the page by a name or a log line must not be run.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let sum = |begin: &str, end: &str| {
        let inner = PAGE.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(inner, _)| inner);
        format!("'sha256-{}'", STANDARD.encode(Sha256::digest(inner)))
    };
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        sum("<style>", "</style>"),
        sum("<script>", "</script>"),
    );
    // It is ASCII.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

pub(super) async fn page() -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, POLICY.clone()),
    ];
    (headers, PAGE).into_response()
}
