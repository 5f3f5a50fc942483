//! A listener whose routes are not there yet: it accepts from the moment that it is bound, so that
//! whoever asks is told how far the start has come, instead of waiting without an answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

/// What a request meets while the routes are not there.
#[derive(Clone)]
pub struct WaitingRoom {
    /// How long it is kept waiting; asked when it comes.
    pub hold: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// What it is told then.
    pub refusal: Arc<dyn Fn() -> Response + Send + Sync>,
}

impl std::fmt::Debug for WaitingRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WaitingRoom")
    }
}

/// Opens once, when the routes are there.
#[derive(Debug, Clone)]
pub struct Door {
    routes: watch::Sender<Option<Router>>,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            routes: watch::Sender::new(None),
        }
    }
}

impl Door {
    /// From now on these routes answer, for requests that wait as well.
    pub fn open(&self, routes: Router) {
        self.routes.send_replace(Some(routes));
    }

    /// The routes of the listener: `early` until the door opens.
    pub fn routes(&self, early: Router) -> Router {
        let routes = self.routes.clone();
        Router::new().fallback(move |request: Request| {
            let there = routes.borrow().clone();
            answer(there.unwrap_or_else(|| early.clone()), request)
        })
    }

    /// An answer for requests that wait for the door to open, and are refused when it does not.
    pub fn waiting_room(&self, room: WaitingRoom) -> Router {
        let routes = self.routes.clone();
        Router::new().fallback(move |request: Request| {
            let (mut opened, room) = (routes.subscribe(), room.clone());
            async move {
                let open = opened.wait_for(Option::is_some);
                let waited = tokio::time::timeout((room.hold)(), open).await;
                let there = waited.ok().and_then(Result::ok);
                match there.and_then(|there| there.clone()) {
                    Some(routes) => answer(routes, request).await,
                    None => (room.refusal)(),
                }
            }
        })
    }
}

async fn answer(routes: Router, request: Request) -> Response {
    let routes = TowerToHyperService::new(routes);
    let answered: Result<Response, Infallible> = routes.call(request).await;
    match answered {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
