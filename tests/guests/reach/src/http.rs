//! One request through wasi:http.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

/// Sends a request to `http://…`; its status and how long the answer's body is.
pub fn send(method: &str, url: &str, body: &[u8]) -> Result<String, String> {
    let rest = url.strip_prefix("http://").ok_or("the url must begin with http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let headers = [
        ("content-type", "application/json"),
        ("content-length", &body.len().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let request = OutgoingRequest::new(Fields::from_list(&headers).map_err(|error| format!("{error:?}"))?);
    let method = match method {
        "POST" => Method::Post,
        _ => Method::Get,
    };
    let wrong = |()| "the request cannot be made".to_owned();
    request.set_method(&method).map_err(wrong)?;
    request.set_scheme(Some(&Scheme::Http)).map_err(wrong)?;
    request.set_authority(Some(authority)).map_err(wrong)?;
    request.set_path_with_query(Some(path)).map_err(wrong)?;
    let outgoing = request.body().map_err(wrong)?;
    let answer = handle(request, None).map_err(|error| format!("{error:?}"))?;
    let stream = outgoing.write().map_err(wrong)?;
    for piece in body.chunks(4096) {
        if stream.blocking_write_and_flush(piece).is_err() {
            break;
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(outgoing, None);
    answer.subscribe().block();
    let response = match answer.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(error))) => return Err(format!("{error:?}")),
        _ => return Err("no answer where one should be".to_owned()),
    };
    let body = response.consume().map_err(wrong)?;
    let stream = body.stream().map_err(wrong)?;
    let mut length = 0;
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(piece) => length += piece.len(),
            Err(StreamError::Closed) => return Ok(format!("{} with {length} bytes", response.status())),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
}
