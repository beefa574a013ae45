//! One call of a callback, all of it within the attempt's time: signed, with a token if it takes one, and sent.
//!
//! A sink that refuses a token that was kept (401) is called once more with a new one, within the same attempt: tokens are
//! revoked and keys change without the sink being at fault, and an attempt and a wait for each event in flight would be
//! the price of every such change. A token that was fetched for this very call is not fetched again: the next attempt
//! does that, on its schedule.
//! Invariant: a call ends when the subscription's `timeout` does, whatever it waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http::header::AUTHORIZATION;

use super::engine::Engine;
use super::retry::Outcome;
use super::token::{self, Token};
use super::webhook::{self, Answered};
use crate::subscription::{Auth, OAuth2, Subscription, Webhook};
use crate::time::Clock;

const UNAUTHORIZED: Option<u16> = Some(401);

/// Makes the call that a request is.
pub(super) async fn call(
    engine: &Engine,
    subscription: &Subscription,
    hook: &Webhook,
    request: Result<Request<Bytes>, String>,
) -> Answered {
    let request = match request {
        Ok(request) => request,
        Err(reason) => return Answered::rejected(reason),
    };
    let call = Call {
        engine,
        subscription,
        hook,
        time: Time::of(&engine.parts.clock, subscription.config.timeout),
    };
    let request = match call.signed(request).await {
        Ok(request) => request,
        Err(answered) => return answered,
    };
    match &hook.auth {
        Some(Auth::OAuth2(oauth2)) => call.post_with_token(request, oauth2).await.unwrap_or_else(|end| end),
        _ => call.post(request).await,
    }
}

struct Call<'a> {
    engine: &'a Engine,
    subscription: &'a Subscription,
    hook: &'a Webhook,
    time: Time<'a>,
}

/// What is left of the attempt's time.
struct Time<'a> {
    clock: &'a Clock,
    began: Instant,
    longest: Duration,
}

impl Call<'_> {
    /// With the signatures of Alibaba's EventBridge, where they are wanted.
    async fn signed(&self, mut request: Request<Bytes>) -> Result<Request<Bytes>, Answered> {
        let Some(push) = &self.hook.push else {
            return Ok(request);
        };
        let (parts, url) = (&self.engine.parts, self.hook.url.as_str());
        let signed = parts
            .signer
            .sign(&mut request, url, push.token.as_deref(), parts.clock.of_day());
        let why = match tokio::time::timeout(self.time.left(), signed).await {
            Ok(Ok(())) => return Ok(request),
            Ok(Err(error)) => error.message().to_owned(),
            Err(_) => "not in time".to_owned(),
        };
        let words = format!("the push cannot be signed: {why}");
        Err(Answered::without_answer(Outcome::Retry { after: None }, words))
    }

    async fn post(&self, request: Request<Bytes>) -> Answered {
        let within = (self.time.left(), self.hook.success.as_slice());
        let parts = &self.engine.parts;
        webhook::send(&parts.client, request, within, parts.clock.of_day()).await
    }

    async fn post_with_token(&self, request: Request<Bytes>, oauth2: &Arc<OAuth2>) -> Result<Answered, Answered> {
        let (token, is_fresh) = self.token(oauth2).await?;
        let answered = self.post(bearing(request.clone(), &token)).await;
        if answered.status != UNAUTHORIZED {
            return Ok(answered);
        }
        self.engine.tokens.refuse(&self.subscription.id, &token);
        if is_fresh {
            return Ok(answered);
        }
        let (token, _) = self.token(oauth2).await?;
        Ok(self.post(bearing(request, &token)).await)
    }

    /// A token, and whether it was fetched for this call.
    async fn token(&self, oauth2: &Arc<OAuth2>) -> Result<(Token, bool), Answered> {
        let (engine, id) = (self.engine, &self.subscription.id);
        let now = engine.parts.clock.now();
        let is_fresh = AtomicBool::new(false);
        let fetch = async || {
            is_fresh.store(true, Ordering::Relaxed);
            token::fetch(&engine.parts.client, (self.hook, oauth2), self.time.left(), now).await
        };
        let got = tokio::time::timeout(self.time.left(), engine.tokens.token((id, oauth2), now, fetch)).await;
        if engine.lane(id).is_none() {
            // Removed meanwhile, and nobody will come back for it.
            engine.tokens.forget(id);
        }
        match got {
            Ok(Ok(token)) => Ok((token, is_fresh.into_inner())),
            Ok(Err(end)) => Err(end),
            Err(_) => {
                let words = "no token: the token endpoint did not answer in time".to_owned();
                Err(Answered::without_answer(Outcome::Retry { after: None }, words))
            }
        }
    }
}

fn bearing(mut request: Request<Bytes>, token: &Token) -> Request<Bytes> {
    request.headers_mut().insert(AUTHORIZATION, token.header.clone());
    request
}

impl<'a> Time<'a> {
    fn of(clock: &'a Clock, longest: Duration) -> Self {
        Self {
            clock,
            began: clock.instant(),
            longest,
        }
    }

    fn left(&self) -> Duration {
        let gone = self.clock.instant().saturating_duration_since(self.began);
        self.longest.saturating_sub(gone)
    }
}
