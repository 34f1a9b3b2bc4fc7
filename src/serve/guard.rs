//! Who may ask: the address in `Host`, the page in `Origin`, and the token. A page of somebody else's, open in the
//! user's browser, reaches every loopback address; it must not get at the cameras.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, SEC_WEBSOCKET_PROTOCOL, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::answer::refused;
use super::page;

/// Nothing from outside, nothing inline, nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// On every answer.
const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// What a client must know, where others than this machine's users can reach the server.
#[derive(Clone)]
pub(super) struct Token(String);

/// Lengths that a token may have.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=128;

impl Token {
    /// 128 random bits.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// One that the user chose, if it can stand in an address and a header.
    pub(super) fn chosen(text: &str) -> Option<Self> {
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        (LENGTHS.contains(&text.len()) && text.bytes().all(is_plain)).then(|| Self(text.to_owned()))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not tell how much of `other` is right.
    fn is(&self, other: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), other.as_bytes());
        ours.len() == theirs.len() && ours.iter().zip(theirs).fold(0, |wrong, (a, b)| wrong | (a ^ b)) == 0
    }
}

/// The rules of one listening address.
#[derive(Clone)]
pub(super) struct Guard {
    /// The names by which this machine may be asked for, besides numbers. DNS tells anybody that a foreign name is
    /// this machine, so that a foreign page becomes same-origin (DNS rebinding): such names are refused.
    names: Vec<String>,
    /// Whether any number may be asked for, or loopback alone.
    any_number: bool,
    token: Option<Token>,
}

/// What is wrong with a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `Host` is missing, or is a foreign name.
    Host,
    /// A foreign page asks.
    Origin,
    /// The token is missing or wrong.
    Token,
}

impl Guard {
    /// For a server that listens on `address`.
    pub(super) fn new(address: SocketAddr, token: Option<Token>) -> Self {
        let mut names = vec!["localhost".to_owned()];
        let is_loopback = address.ip().is_loopback();
        if !is_loopback && let Some(name) = super::address::machine_name() {
            names.extend([format!("{name}.local"), name]);
        }
        Self { names, any_number: !is_loopback, token }
    }

    /// Checks a request before anything is done for it.
    fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = only(headers, &HOST).ok_or(Refusal::Host)?;
        if !self.knows(host) {
            return Err(Refusal::Host);
        }
        if headers.contains_key(ORIGIN) && only(headers, &ORIGIN) != Some(&format!("http://{host}")) {
            return Err(Refusal::Origin);
        }
        // Browsers tell who asks even where they send no origin; a link from elsewhere may lead to the page itself.
        let site = HeaderName::from_static("sec-fetch-site");
        let is_ours = !headers.contains_key(&site) || matches!(only(headers, &site), Some("same-origin" | "none"));
        let leads_here = only(headers, &HeaderName::from_static("sec-fetch-mode")) == Some("navigate")
            && method == Method::GET
            && path == "/";
        if !is_ours && !leads_here {
            return Err(Refusal::Origin);
        }
        match &self.token {
            // The page itself holds nothing: it is what asks for the token.
            Some(token) if page::asset(path).is_none() && !given(headers).is_some_and(|given| token.is(given)) => {
                Err(Refusal::Token)
            }
            _ => Ok(()),
        }
    }

    fn knows(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()) => name,
            _ => host,
        };
        let number = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        match number.parse::<IpAddr>() {
            Ok(number) => self.any_number || number.is_loopback(),
            Err(_) => self.names.iter().any(|known| known.eq_ignore_ascii_case(name)),
        }
    }
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The token that a request bears: as `Authorization: Bearer`, or, since browsers let no page set headers of a
/// WebSocket, as one of its subprotocols (`token.…`).
fn given(headers: &HeaderMap) -> Option<&str> {
    let bearer = only(headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let protocols = only(headers, &SEC_WEBSOCKET_PROTOCOL).unwrap_or_default().split(',');
    bearer.or_else(|| protocols.map(str::trim).find_map(|protocol| protocol.strip_prefix("token.")))
}

/// Stands before every route.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let admitted = guard.check(request.method(), request.uri().path(), request.headers());
    let mut response = match admitted {
        Ok(()) => next.run(request).await,
        Err(Refusal::Host) => refused(
            StatusCode::FORBIDDEN,
            "this server answers to its own address only: ask for it by the one that vultus printed",
        ),
        Err(Refusal::Origin) => refused(StatusCode::FORBIDDEN, "another site's page may not ask"),
        Err(Refusal::Token) => refused(
            StatusCode::UNAUTHORIZED,
            "this needs the token that vultus printed: open the printed address, or send `Authorization: Bearer TOKEN`",
        ),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Guard {
        Guard::new(SocketAddr::from(([127, 0, 0, 1], 7878)), None)
    }

    fn open() -> Guard {
        Guard::new(SocketAddr::from(([0, 0, 0, 0], 7878)), Token::chosen("0123456789abcdef"))
    }

    fn check(guard: &Guard, path: &str, headers: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header's value"))
        });
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        guard.check(&Method::GET, path, &map)
    }

    #[test]
    fn loopback_is_known_by_its_own_names_alone() {
        for host in ["127.0.0.1:7878", "localhost:7878", "LOCALHOST", "[::1]:7878", "127.0.0.1"] {
            assert_eq!(check(&loopback(), "/api/state", &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example:7878", "192.168.1.7:7878", "localhost.evil.example", "", "127.0.0.1.evil.example"] {
            assert_eq!(check(&loopback(), "/api/state", &[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(check(&loopback(), "/", &[]), Err(Refusal::Host));
        assert_eq!(check(&loopback(), "/", &[("host", "localhost"), ("host", "localhost")]), Err(Refusal::Host));
    }

    #[test]
    fn a_foreign_page_is_refused() {
        let host = ("host", "localhost:7878");
        assert_eq!(check(&loopback(), "/ws", &[host, ("origin", "http://localhost:7878")]), Ok(()));
        for origin in ["http://evil.example", "http://localhost:8000", "https://localhost:7878", "null"] {
            assert_eq!(check(&loopback(), "/ws", &[host, ("origin", origin)]), Err(Refusal::Origin), "{origin}");
        }
        let cross = ("sec-fetch-site", "cross-site");
        assert_eq!(check(&loopback(), "/api/state", &[host, cross]), Err(Refusal::Origin));
        let same = ("sec-fetch-site", "same-origin");
        assert_eq!(check(&loopback(), "/api/state", &[host, same]), Ok(()));
        assert_eq!(check(&loopback(), "/api/state", &[host, same, cross]), Err(Refusal::Origin));
        let link = ("sec-fetch-mode", "navigate");
        assert_eq!(check(&loopback(), "/", &[host, cross, link]), Ok(()));
        assert_eq!(check(&loopback(), "/api/state", &[host, cross, link]), Err(Refusal::Origin));
    }

    #[test]
    fn other_addresses_need_the_token_for_all_but_the_page() {
        let host = ("host", "192.168.1.7:7878");
        assert_eq!(check(&open(), "/", &[host]), Ok(()));
        assert_eq!(check(&open(), "/api/state", &[host]), Err(Refusal::Token));
        for (name, value) in
            [("authorization", "Bearer 0123456789abcdef"), ("sec-websocket-protocol", "vultus, token.0123456789abcdef")]
        {
            assert_eq!(check(&open(), "/api/state", &[host, (name, value)]), Ok(()));
        }
        assert_eq!(
            check(&open(), "/api/state", &[host, ("authorization", "Bearer 0123456789abcdee")]),
            Err(Refusal::Token)
        );
        assert_eq!(check(&open(), "/api/state", &[("host", "evil.example")]), Err(Refusal::Host));
    }

    #[test]
    fn tokens_are_long_plain_and_never_the_same() {
        assert!(Token::chosen("short").is_none());
        assert!(Token::chosen("0123456789abcdef#").is_none());
        let [a, b] = [(); 2].map(|()| Token::random().expect("the system has random numbers"));
        assert!(Token::chosen(a.text()).is_some());
        assert_ne!(a.text(), b.text());
    }
}
