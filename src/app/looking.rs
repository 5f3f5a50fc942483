//! How people come in who look at the page: by its cookie, where agents show a token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{Extensions, HeaderMap};
use axum::response::{IntoResponse, Response};

use super::live::Live;
use super::operator;
use crate::config::{Config, TlsConfig};
use crate::driver::shell::Driver;
use crate::http::AdmittedPeer;
use crate::http::access::{self, Access, Denied};
use crate::page::{self, Front, OriginCheck, Sessions};
use crate::ws::{self, Admitted, Lifetime};

/// The page, with the checks that the other fronts have.
pub(super) fn front(
    config: &Config,
    driver: &Driver,
    live: &Live,
    who: &page::Admit,
    refused: &access::RefusalObserver,
    metrics: page::MetricsSource,
) -> Front {
    let port = config.websocket.endpoint.port.number();
    let counted = Arc::clone(refused);
    let refused = Arc::clone(refused);
    let own_origin: OriginCheck = Arc::new(move |headers: &HeaderMap| {
        Access::check_own_origin(headers).map_err(|denied: Denied| -> Box<Response> {
            refused(denied.reason());
            Box::new(denied.into_response())
        })
    });
    let values = live.values();
    let is_ours = matches!(config.websocket.tls, Some(TlsConfig::SelfSigned));
    let certificate = values.tls.as_ref().filter(|_| is_ours);
    Front {
        driver: driver.clone(),
        sessions: Sessions::new(operator::random, port),
        admit: Arc::clone(who),
        own_origin,
        guessed: Arc::new(move || counted(Denied::BadToken.reason())),
        peer,
        metrics,
        certificate: certificate.map(|tls| tls.fingerprint.as_str().into()),
    }
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    let peer = extensions.get::<AdmittedPeer>()?;
    Some(peer.address.ip())
}

/// Who may open a WebSocket: who shows a token, or a browser with the cookie of a session, from our own page.
pub(super) fn admit(page: &Front) -> ws::Admit {
    let page = page.clone();
    Arc::new(move |headers: &HeaderMap| {
        let subprotocol = access::offers_subprotocol(headers).then_some(access::SUBPROTOCOL);
        let names_none = matches!(access::token(headers), Err(Denied::NoToken));
        let session = names_none.then(|| page.session(headers)).flatten();
        let Some(session) = session else {
            return Ok(Admitted {
                identity: (page.admit)(headers)?,
                subprotocol,
                lifetime: None,
            });
        };
        (page.own_origin)(headers)?;
        Ok(Admitted {
            identity: session.identity,
            subprotocol,
            lifetime: Some(Lifetime {
                left: session.left,
                ended: session.ended,
            }),
        })
    })
}
