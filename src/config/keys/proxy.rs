//! The rows of the way out by a proxy.

use super::{Key, join, none};
use crate::config::value::Given;
use crate::net::{Exception, Proxy};

pub(super) const KEYS: &[Key] = &[
    key! { "egress.proxy", "egress-proxy", "URL",
    "Callbacks and plugins' HTTP go by this proxy, `http://proxy:3128`, with `user:password@` if it asks for them; or `file:PATH`, `env:NAME`; `none`: directly. `HTTP_PROXY` and its like are not read",
    |s, v| { s.proxies.proxy = proxy(v)?; Ok(()) },
    |s| s.proxies.proxy.as_ref().map_or_else(none, Proxy::shown) },
    key! { "egress.no_proxy", "egress-no-proxy", "HOSTS",
    "Hosts to which they go directly all the same: `example.com` (and what is below it), `.example.com` (only that), ranges, `*`",
    |s, v| { s.proxies.except = v.list().iter().map(|word| Exception::parse(word)).collect::<Result<_, _>>()?; Ok(()) },
    |s| join(&s.proxies.except) },
];

fn proxy(given: &Given) -> Result<Option<Proxy>, String> {
    match given.word()? {
        "none" | "" => Ok(None),
        word => {
            let url = crate::access::value_of("the proxy", word)?;
            Proxy::parse(&url).map(Some)
        }
    }
}
