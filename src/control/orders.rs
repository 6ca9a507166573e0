//! Orders: what is asked of whom, by whom, and the answer.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::LengthLimitError;
use serde_json::{Value, json};

use super::auth::Origin;
use super::parameters::Parameters;
use super::routes::{Answer, Api, Named, Problem, json_response, named, within};
use crate::domain::operator::{Asked, By, Whom, parse_until};
use crate::domain::status::Outcome;

/// Bodies of requests are small.
const BODY: usize = 64 * 1024;

/// Longer than it takes to say that an order is not done yet.
const ANSWER: Duration = Duration::from_secs(10);

/// An order to one script.
pub(super) async fn one(verb: &str, State(api): State<Api>, name: Named, request: Request) -> Answer {
    let name = named(name)?.to_string();
    let own: &[&str] = match verb {
        "start" => &["force"],
        "skip" => &["date"],
        "pause" => &["until", "stop"],
        _ => &[],
    };
    let (by, parameters) = api.read(request, own).await?;
    let asked = match verb {
        "start" => Asked::Start { force: parameters.flag("force")? },
        "stop" => Asked::Stop,
        "restart" => Asked::Restart,
        "skip" => Asked::Skip { date: parameters.date("date")? },
        "pause" => pause(&api, &parameters)?,
        _ => Asked::Resume,
    };
    order(&api, Whom::One(name), asked, by, &parameters).await
}

pub(super) async fn pause_all(State(api): State<Api>, request: Request) -> Answer {
    let (by, parameters) = api.read(request, &["until", "stop"]).await?;
    let asked = pause(&api, &parameters)?;
    order(&api, Whom::All, asked, by, &parameters).await
}

pub(super) async fn resume_all(State(api): State<Api>, request: Request) -> Answer {
    let (by, parameters) = api.read(request, &[]).await?;
    order(&api, Whom::All, Asked::Resume, by, &parameters).await
}

fn pause(api: &Api, parameters: &Parameters) -> Result<Asked, Problem> {
    let (now, zone) = api.control.clock();
    let until = parameters.text("until").map(|text| parse_until(text, zone, now)).transpose()?;
    Ok(Asked::Pause { until, stop: parameters.flag("stop")? })
}

pub(super) async fn reload(State(api): State<Api>, request: Request) -> Answer {
    let (by, parameters) = api.read(request, &["restart"]).await?;
    let wait = parameters.wait()?;
    let reloaded = api.control.reload(by, parameters.flag("restart")?);
    let outcome = within(wait.unwrap_or_default() + api.pace.show, reloaded).await??;
    Ok(told(&outcome, false, wait.is_some()))
}

pub(super) async fn shut_down(State(api): State<Api>, request: Request) -> Answer {
    let (by, parameters) = api.read(request, &[]).await?;
    let wait = parameters.wait()?;
    let ending = api.control.shut_down(by, wait);
    Ok(told(&within(wait.unwrap_or_default() + ANSWER, ending).await??, false, wait.is_some()))
}

async fn order(api: &Api, whom: Whom, asked: Asked, by: By, parameters: &Parameters) -> Answer {
    let wait = parameters.wait()?;
    let is_single = whom != Whom::All;
    let ordered = api.control.order(whom, asked, by, wait);
    let outcome = within(wait.unwrap_or_default() + ANSWER, ordered).await??;
    Ok(told(&outcome, is_single, wait.is_some()))
}

/// 200 for what is done and was waited for, else 202. An order to one script is answered with that script's state, too.
fn told(outcome: &Outcome, is_single: bool, waited: bool) -> Response {
    let code = if waited && outcome.done { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut answer = json!(outcome);
    if let (true, Some(script), Value::Object(answer)) = (is_single, outcome.scripts.first(), &mut answer)
        && let Value::Object(fields) = json!(script)
    {
        answer.extend(fields);
    }
    json_response(code, &answer)
}

impl Api {
    /// Who asks, and for what: with the parameters that are an order's `own`, and those of all orders.
    async fn read(&self, request: Request, own: &[&str]) -> Result<(By, Parameters), Problem> {
        let who = request.extensions().get::<Origin>().map_or_else(String::new, Origin::who);
        let (head, body) = request.into_parts();
        let body = tokio::time::timeout(self.pace.body, to_bytes(body, BODY)).await;
        let body = body.map_err(|_| Problem(StatusCode::REQUEST_TIMEOUT, "the body did not come".to_owned()))?;
        let body = body.map_err(unreadable_body)?;
        let known = [own, &["reason", "wait"]].concat();
        let parameters = Parameters::read(head.uri.query().unwrap_or_default(), &body, &known)?;
        Ok((By { who, reason: parameters.reason() }, parameters))
    }
}

fn unreadable_body(error: axum::Error) -> Problem {
    if error.into_inner().is::<LengthLimitError>() {
        return Problem(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {BODY} bytes"));
    }
    Problem(StatusCode::BAD_REQUEST, "the body ends too soon, or is no body at all".to_owned())
}
