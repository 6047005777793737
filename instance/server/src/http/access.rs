//! What scoped tokens may do: the routes that are open to connectors and to runs, each once.

use http::Method;

/// A route of the API, and to whom besides the owner it is open.
struct Route {
    method: Method,
    /// As the router names it.
    path: &'static str,
    connector: bool,
    run: Option<Reach>,
}

/// What of a route is open to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All: it concerns no session, or names its session in a body, at which the handler looks.
    Anywhere,
    /// What is done to a session, a run, a trigger or a file of its own that the path names.
    Own,
    /// All, where runs may put the list in order. The handler looks at what is changed.
    Organise,
}

const NOBODY: Option<Reach> = None;
const ANYWHERE: Option<Reach> = Some(Reach::Anywhere);
const OWN: Option<Reach> = Some(Reach::Own);
const ORGANISE: Option<Reach> = Some(Reach::Organise);

const fn route(method: Method, path: &'static str, connector: bool, run: Option<Reach>) -> Route {
    Route { method, path, connector, run }
}

/// Connectors create sessions, post messages and their files, and read what became of them; runs work in their
/// sessions. What is not here is the owner's.
const ROUTES: &[Route] = &[
    route(Method::GET, "/api/build-info", true, ANYWHERE),
    route(Method::GET, "/api/openapi.json", true, ANYWHERE),
    route(Method::GET, "/api/tools", true, ANYWHERE),
    route(Method::GET, "/api/models", false, ANYWHERE),
    route(Method::GET, "/api/sessions", true, ORGANISE),
    route(Method::POST, "/api/sessions", true, NOBODY),
    route(Method::GET, "/api/sessions/archived", true, ORGANISE),
    route(Method::GET, "/api/sessions/{id}", true, OWN),
    route(Method::PATCH, "/api/sessions/{id}", false, ORGANISE),
    route(Method::POST, "/api/sessions/{id}/messages", true, OWN),
    route(Method::POST, "/api/sessions/{id}/assistant-messages", false, OWN),
    route(Method::POST, "/api/sessions/{id}/cancel", false, OWN),
    route(Method::POST, "/api/sessions/{id}/delegate", false, OWN),
    route(Method::GET, "/api/sessions/{id}/events", true, OWN),
    route(Method::GET, "/api/sessions/{id}/events/blocks/{range}", true, OWN),
    route(Method::GET, "/api/sessions/{id}/events/{seq}/body", true, OWN),
    route(Method::GET, "/api/sessions/{id}/runs", true, OWN),
    route(Method::GET, "/api/sessions/{id}/source-context", true, OWN),
    route(Method::GET, "/api/sessions/{id}/stream", true, OWN),
    route(Method::GET, "/api/runs/{id}", true, OWN),
    route(Method::POST, "/api/runs/{id}/cancel", false, OWN),
    route(Method::GET, "/api/runs/{id}/reply", true, OWN),
    route(Method::GET, "/api/triggers", false, ANYWHERE),
    route(Method::POST, "/api/triggers", false, ANYWHERE),
    route(Method::GET, "/api/triggers/{id}", false, OWN),
    route(Method::PATCH, "/api/triggers/{id}", false, OWN),
    route(Method::DELETE, "/api/triggers/{id}", false, OWN),
    route(Method::GET, "/api/completions", true, NOBODY),
    route(Method::POST, "/api/completions/{id}", true, NOBODY),
    route(Method::GET, "/api/assets/{id}", true, OWN),
    route(Method::GET, "/api/assets/{id}/download", true, OWN),
    route(Method::POST, "/api/assets/upload-intents", true, NOBODY),
    route(Method::PUT, "/api/assets/{id}/content", true, NOBODY),
    route(Method::POST, "/api/assets/{id}/finalize", true, NOBODY),
    route(Method::GET, "/api/media/{name}", true, NOBODY),
    route(Method::GET, "/ws", true, NOBODY),
];

/// Tells whether a connector may call a route; `path` is `None` where the router knows none.
pub(super) fn is_open_to_connectors(method: &Method, path: Option<&str>) -> bool {
    find(method, path).is_some_and(|route| route.connector)
}

/// What of a route is open to a run.
pub(super) fn reach_of_runs(method: &Method, path: Option<&str>) -> Option<Reach> {
    find(method, path)?.run
}

fn find(method: &Method, path: Option<&str>) -> Option<&'static Route> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    ROUTES.iter().find(|route| route.method == method && Some(route.path) == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_not_allowed() {
        let may = |method, path| is_open_to_connectors(&method, path);
        assert!(may(Method::HEAD, Some("/api/sessions")) && may(Method::POST, Some("/api/sessions")));
        assert!(!may(Method::DELETE, Some("/api/sessions")) && !may(Method::OPTIONS, Some("/api/sessions")));
        assert!(!may(Method::GET, Some("/api/tokens")) && !may(Method::GET, None));
        assert_eq!(reach_of_runs(&Method::GET, Some("/api/tokens")), None);
        assert_eq!(reach_of_runs(&Method::HEAD, Some("/api/runs/{id}")), Some(Reach::Own));
    }

    #[test]
    fn each_route_stands_there_once() {
        let mut names: Vec<String> =
            ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
