//! Paths and what they answer. What cannot be understood is a 4xx that says why; nothing here fails with a 500.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::Pace;
use super::auth::{Barred, Origin};
use super::orders;
use super::page::page;
use super::parameters::Parameters;
use super::stream::{self, Streams};
use crate::domain::operator::Refused;
use crate::domain::script::ScriptName;
use crate::domain::status::unready;
use crate::ports::{CalendarQuery, Control, HistoryQuery, LogQuery, PortFuture};

/// So many lines of a log at most.
const TAIL: usize = 10_000;

/// So many boundaries at most.
const NEXT: usize = 1000;

/// What all handlers have.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) control: Arc<dyn Control>,
    pub(super) alive: Alive,
    pub(super) streams: Streams,
    pub(super) pace: Pace,
    pub(super) place: Arc<Place>,
}

/// Whose daemon this is, and where TCP is served.
pub(super) struct Place {
    /// The configuration file; None = the embedded text.
    pub(super) config: Option<PathBuf>,
    pub(super) token_file: PathBuf,
    /// Where TCP is to be served; None = nowhere.
    pub(super) wanted: Option<String>,
    /// Where it is; unset while the port is taken.
    pub(super) bound: Arc<OnceLock<SocketAddr>>,
}

impl Api {
    /// What is only to be shown: at once, or not at all. A disk that does not answer must not hold connections for ever.
    async fn shown<T>(&self, shown: PortFuture<T>) -> Result<T, Problem> {
        within(self.pace.show, shown).await
    }
}

pub(super) async fn within<T>(patience: Duration, asked: PortFuture<T>) -> Result<T, Problem> {
    let late = |_| {
        let text = format!("no answer within {} s; look at the daemon's log, and at its disk", patience.as_secs());
        Problem(StatusCode::SERVICE_UNAVAILABLE, text)
    };
    tokio::time::timeout(patience, asked).await.map_err(late)
}

/// Whether the actors answer; asked once for all who ask at about the same time, so that nobody can keep the actors busy by asking.
#[derive(Clone)]
pub(super) struct Alive {
    control: Arc<dyn Control>,
    latest: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Alive {
    /// An answer counts for so long.
    const FRESH: Duration = Duration::from_millis(100);

    /// Longer than they take to answer, or to be found not to.
    const PATIENCE: Duration = Duration::from_secs(2);

    pub(super) fn new(control: Arc<dyn Control>) -> Self {
        Self { control, latest: Arc::default() }
    }

    async fn is(&self) -> bool {
        let mut latest = self.latest.lock().await;
        if let Some((at, alive)) = *latest
            && at.elapsed() < Self::FRESH
        {
            return alive;
        }
        let alive = tokio::time::timeout(Self::PATIENCE, self.control.is_alive()).await.unwrap_or(false);
        *latest = Some((Instant::now(), alive));
        alive
    }
}

/// An answer that is a refusal.
#[derive(Debug)]
pub(super) struct Problem(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        json_response(self.0, &json!({"error": self.1}))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match &refused {
            Refused::NoSuchScript { .. } => StatusCode::NOT_FOUND,
            Refused::NotNow(_) => StatusCode::CONFLICT,
            Refused::Faulty(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refused::Invalid(_) => StatusCode::BAD_REQUEST,
            Refused::Unanswered(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let near = match &refused {
            Refused::NoSuchScript { name, known } => near(name, known),
            _ => None,
        };
        Self(status, refused.to_string() + &near.map_or_else(String::new, |near| format!("; did you mean {near}?")))
    }
}

/// Parameters that make no sense.
impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self(StatusCode::BAD_REQUEST, text)
    }
}

/// What was probably meant.
fn near<'a>(name: &str, known: &'a [ScriptName]) -> Option<&'a ScriptName> {
    let distance = |known: &&ScriptName| strsim::damerau_levenshtein(known.as_str(), name);
    known.iter().min_by_key(distance).filter(|best| distance(best) <= 2.min(name.chars().count() / 2))
}

pub(super) type Answer = Result<Response, Problem>;

pub(super) fn router(api: Api) -> Router {
    let by_verb = |router: Router<Api>, verb: &'static str| {
        let order = move |api, name, request| orders::one(verb, api, name, request);
        router.route(&format!("/scripts/{{name}}/{verb}"), post(order))
    };
    let verbs = ["start", "stop", "restart", "skip", "pause", "resume"].into_iter().fold(Router::new(), by_verb);
    let v1 = verbs
        .route("/status", get(status))
        .route("/scripts", get(scripts))
        .route("/scripts/{name}", get(script))
        .route("/scripts/{name}/log", get(log))
        .route("/history", get(history))
        .route("/calendar", get(calendar))
        .route("/timeline", get(timeline))
        .route("/next", get(next))
        .route("/listen", get(listen))
        .route("/events", get(events))
        .route("/reload", post(orders::reload))
        .route("/shutdown", post(orders::shut_down))
        .route("/pause", post(orders::pause_all))
        .route("/resume", post(orders::resume_all));
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(healthz))
        .route("/health", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .nest("/api/v1", v1)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(guard))
        .with_state(api)
}

/// Lets in who may come in, and marks every answer as one that is not to be kept or guessed at.
async fn guard(request: Request, next: Next) -> Response {
    let barred = match request.extensions().get::<Origin>() {
        Some(origin) => origin.admit(&request).err(),
        None => Some(Barred { status: StatusCode::FORBIDDEN, text: "nobody knows where this comes from" }),
    };
    let mut response = match barred {
        Some(Barred { status, text }) => {
            let mut response = Problem(status, text.to_owned()).into_response();
            if status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The page says more exactly what it may do; an answer that somebody opens as a page may do nothing.
    let nothing = "default-src 'none'; frame-ancestors 'none'";
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(nothing));
    response
}

async fn unknown_path() -> Problem {
    Problem(StatusCode::NOT_FOUND, "there is nothing at this path; see /api/v1/status".to_owned())
}

/// The router adds which ones are right.
async fn wrong_method(method: Method) -> Problem {
    let other = if method == Method::POST { "what is only shown is asked for by GET" } else { "see the header Allow" };
    Problem(StatusCode::METHOD_NOT_ALLOWED, format!("{method} does nothing here: {other}"))
}

pub(super) fn json_response(status: StatusCode, value: &impl Serialize) -> Response {
    // These types have nothing that JSON cannot hold.
    let text = serde_json::to_string(value).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/json")], text + "\n").into_response()
}

/// A list: one JSON array, or an object a line for whoever prefers that.
fn list(headers: &HeaderMap, lines: &[impl Serialize]) -> Response {
    let by_line = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|a| a.contains("ndjson"));
    if !by_line {
        return json_response(StatusCode::OK, &lines);
    }
    let texts = lines.iter().map(|line| serde_json::to_string(line).unwrap_or_default() + "\n");
    ([(CONTENT_TYPE, "application/x-ndjson")], texts.collect::<String>()).into_response()
}

fn query(request: &Request) -> &str {
    request.uri().query().unwrap_or_default()
}

async fn healthz(State(api): State<Api>) -> Response {
    match api.alive.is().await {
        true => json_response(StatusCode::OK, &json!({"status": "ok"})),
        false => json_response(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "the actors do not answer"})),
    }
}

async fn readyz(State(api): State<Api>) -> Answer {
    let status = api.shown(api.control.status()).await?;
    let missing: Vec<&str> = unready(&status).iter().map(|script| &*script.name).collect();
    let ready = missing.is_empty() && status.journal_ok;
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(json_response(code, &json!({"ready": ready, "not_running": missing, "journal_ok": status.journal_ok})))
}

async fn metrics(State(api): State<Api>) -> Answer {
    let text = api.shown(api.control.metrics()).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

async fn status(State(api): State<Api>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.shown(api.control.status()).await?))
}

async fn scripts(State(api): State<Api>, headers: HeaderMap) -> Answer {
    Ok(list(&headers, &api.shown(api.control.status()).await?.scripts))
}

/// Names become paths: what is none is not even looked for.
pub(super) type Named = Result<Path<String>, PathRejection>;

pub(super) fn named(name: Named) -> Result<ScriptName, Problem> {
    let name = name.map_err(|_| "the name is no text".to_owned());
    name.and_then(|Path(name)| ScriptName::new(&name)).map_err(|why| Problem(StatusCode::NOT_FOUND, why))
}

async fn script(State(api): State<Api>, name: Named) -> Answer {
    let name = named(name)?;
    let status = api.shown(api.control.status()).await?;
    match status.scripts.iter().find(|script| script.name == name.as_str()) {
        Some(script) => Ok(json_response(StatusCode::OK, script)),
        None => {
            let known = status.scripts.iter().filter_map(|script| ScriptName::new(&script.name).ok()).collect();
            Err(Refused::NoSuchScript { name: name.to_string(), known }.into())
        }
    }
}

async fn history(State(api): State<Api>, request: Request) -> Answer {
    let parameters = Parameters::read(query(&request), &[], &["script", "from", "to"])?;
    let (script, from, to) = (parameters.text("script"), parameters.date("from")?, parameters.date("to")?);
    let found = api.shown(api.control.history(HistoryQuery { script: script.map(str::to_owned), from, to })).await??;
    Ok(list(request.headers(), &found))
}

async fn calendar(State(api): State<Api>, request: Request) -> Answer {
    let parameters = Parameters::read(query(&request), &[], &["id", "from", "to"])?;
    let (calendar, from, to) = (parameters.text("id"), parameters.date("from")?, parameters.date("to")?);
    let found =
        api.shown(api.control.calendar(CalendarQuery { calendar: calendar.map(str::to_owned), from, to })).await??;
    Ok(list(request.headers(), &found))
}

async fn timeline(State(api): State<Api>, request: Request) -> Answer {
    let parameters = Parameters::read(query(&request), &[], &["date"])?;
    let found = api.shown(api.control.timeline(parameters.date("date")?)).await??;
    Ok(json_response(StatusCode::OK, &found))
}

async fn next(State(api): State<Api>, request: Request) -> Answer {
    let parameters = Parameters::read(query(&request), &[], &["n"])?;
    let found = api.shown(api.control.next(parameters.number("n", 10, NEXT)?)).await?;
    Ok(list(request.headers(), &found))
}

/// What `mho` asks before it relies on this daemon, or links to the dashboard.
async fn listen(State(api): State<Api>) -> Response {
    let Place { config, token_file, wanted, bound } = &*api.place;
    // JSON is UTF-8; a path need not be.
    let config = config.as_ref().map(|path| path.display().to_string());
    let token_file = token_file.display().to_string();
    let said = json!({"config": config, "token_file": token_file, "configured": wanted, "listening": bound.get()});
    json_response(StatusCode::OK, &said)
}

async fn events(State(api): State<Api>) -> Answer {
    let place = api.streams.enter().ok_or_else(too_many)?;
    Ok(stream::events(api.control, place))
}

async fn log(State(api): State<Api>, name: Named, request: Request) -> Answer {
    let script = named(name)?.to_string();
    let parameters = Parameters::read(query(&request), &[], &["tail", "date", "follow"])?;
    let follow = parameters.flag("follow")?;
    let (tail, date) = (parameters.number("tail", 100, TAIL)?, parameters.date("date")?);
    let place = api.streams.enter().ok_or_else(too_many)?;
    let lines = api.shown(api.control.log(LogQuery { script, tail, date, follow })).await??;
    Ok(if follow { stream::lines(lines, place) } else { stream::text(lines, place) })
}

fn too_many() -> Problem {
    Problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many streams are open: close some of them, or try again later".to_owned(),
    )
}
