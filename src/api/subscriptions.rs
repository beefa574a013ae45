//! `/v1/subscriptions`: names after the CloudEvents Subscriptions API.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::error::Answer;
use super::query::Query;
use super::scope::Scope;
use super::{Door, body};
use crate::subscription::Subscription;

/// `POST`: 201 with `Location`.
pub(super) async fn create(State(door): State<Door>, scope: Scope, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    Query::of(&uri, &[])?;
    let json = body::json(&headers, body).await?;
    scope.check_forwarding(&json, None)?;
    let made = door.hub.create(scope.named.as_ref(), &json).await?;
    Ok(created(&made))
}

fn created(made: &Subscription) -> Response {
    let mut response = body::answer(StatusCode::CREATED, &made.to_json());
    // An id is made of characters that a header may have.
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/subscriptions/{}", made.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// `GET`: an array by id; when there are more, `Link` says where.
pub(super) async fn list(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    let query = Query::of(&uri, &["limit", "after"])?;
    let limit = query.limit(1_000, 10_000)?;
    let mut found = door
        .hub
        .subscriptions(scope.named.as_ref(), query.one("after")?, limit + 1);
    let more = found.len() > limit;
    found.truncate(limit);
    let mut response = body::ok(&found.iter().map(|one| one.to_json()).collect());
    if let (true, Some(last)) = (more, found.last()) {
        let base = scope
            .named
            .as_ref()
            .map(|bus| format!("/v1/buses/{bus}"))
            .unwrap_or_else(|| "/v1".into());
        let link = format!("<{base}/subscriptions?after={}&limit={limit}>; rel=\"next\"", last.id);
        response
            .headers_mut()
            .extend(HeaderValue::from_str(&link).ok().map(|link| (header::LINK, link)));
    }
    Ok(response)
}

/// `GET …/{id}`: with the figures of its deliveries under `status`.
pub(super) async fn show(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    let found = door.hub.subscription(scope.named.as_ref(), &scope.item)?;
    let mut json = found.to_json();
    if let (Some(shown), Some(lane)) = (json.as_object_mut(), door.hub.lane(&found.id)) {
        let mut status = serde_json::to_value(lane).unwrap_or_default();
        if let (Some(status), Some(problem)) = (status.as_object_mut(), door.hub.misfit(&found)) {
            status.insert("problem".into(), problem.into());
        }
        if let (Some(status), Some(asked)) = (status.as_object_mut(), door.hub.asked(&found.id)) {
            let next = asked.next.to_string();
            let asked = json!({"asked": asked.asked, "answer": asked.answer, "next": next});
            status.insert("consent".into(), asked);
        }
        shown.insert("status".into(), status);
    }
    Ok(body::ok(&json))
}

/// `PUT …/{id}`: replaces it, or makes it under the caller's id.
pub(super) async fn replace(
    State(door): State<Door>,
    scope: Scope,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    Query::of(&uri, &[])?;
    let json = body::json(&headers, body).await?;
    scope.check_forwarding(&json, None)?;
    let (subscription, made) = door.hub.replace(scope.named.as_ref(), &scope.item, &json).await?;
    Ok(if made {
        created(&subscription)
    } else {
        body::ok(&subscription.to_json())
    })
}

/// `PATCH …/{id}`: a JSON merge patch.
pub(super) async fn patch(State(door): State<Door>, scope: Scope, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    Query::of(&uri, &[])?;
    let json = body::json(&headers, body).await?;
    let old = door.hub.subscription(scope.named.as_ref(), &scope.item)?;
    scope.check_forwarding(&json, Some(&old))?;
    let changed = door.hub.patch(scope.named.as_ref(), &scope.item, &json).await?;
    Ok(body::ok(&changed.to_json()))
}

/// `DELETE …/{id}`: 204.
pub(super) async fn remove(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    door.hub.remove(scope.named.as_ref(), &scope.item).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST …/{id}/pause`.
pub(super) async fn pause(State(door): State<Door>, scope: Scope) -> Answer {
    Ok(body::ok(
        &door.hub.pause(scope.named.as_ref(), &scope.item).await?.to_json(),
    ))
}

/// `POST …/{id}/resume`.
pub(super) async fn resume(State(door): State<Door>, scope: Scope) -> Answer {
    let found = door.hub.subscription(scope.named.as_ref(), &scope.item)?;
    scope.check_forwarding(&Value::Null, Some(&found))?;
    Ok(body::ok(
        &door.hub.resume(scope.named.as_ref(), &scope.item).await?.to_json(),
    ))
}

/// `POST …/{id}/test`: delivers one test event now; the attempt.
pub(super) async fn test(State(door): State<Door>, scope: Scope) -> Answer {
    let found = door.hub.subscription(scope.named.as_ref(), &scope.item)?;
    scope.check_forwarding(&Value::Null, Some(&found))?;
    let attempt = door.hub.test(scope.named.as_ref(), &scope.item).await?;
    Ok(body::ok(&serde_json::to_value(attempt).unwrap_or_default()))
}

/// `GET …/{id}/deliveries`: recent attempts, newest first.
pub(super) async fn deliveries(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    let recent: Vec<Value> = door
        .hub
        .deliveries(scope.named.as_ref(), &scope.item)?
        .into_iter()
        .map(|one| serde_json::to_value(one).unwrap_or_default())
        .collect();
    Ok(body::ok(&json!({ "deliveries": recent })))
}

/// `POST …/{id}/rotate-secret`: the subscription, and the new secret if the hub drew it: here, and never again.
pub(super) async fn rotate_secret(
    State(door): State<Door>,
    scope: Scope,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    Query::of(&uri, &[])?;
    let json = body::json_or_nothing(&headers, body).await?;
    let rotated = door.hub.rotate_secret(scope.named.as_ref(), &scope.item, &json).await?;
    let mut answer = json!({"subscription": rotated.subscription.to_json()});
    if let (Some(answer), Some(secret)) = (answer.as_object_mut(), rotated.drawn) {
        answer.insert("secret".into(), secret.into());
    }
    let mut response = body::ok(&answer);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `OPTIONS`.
pub(super) async fn collection_options() -> Response {
    allow(&[Method::GET, Method::POST, Method::OPTIONS])
}

/// `OPTIONS …/{id}`.
pub(super) async fn item_options() -> Response {
    allow(&[Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS])
}

fn allow(methods: &[Method]) -> Response {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    (StatusCode::OK, [(header::ALLOW, names.join(", "))]).into_response()
}
