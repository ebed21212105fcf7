//! Logging in with a key, for browsers: the cookie says so from then on, and scripts of a page never see the key again.

use std::sync::Arc;

use domain::{Scope, Timestamp};
use poem::http::header;
use poem::web::Data;
use poem::{IntoResponse, Request, Response};
use poem_openapi::registry::{MetaResponses, Registry};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Deserialize;

use super::Group;
use crate::access::audit::Deed;
use crate::access::session::{Session, set_cookie};
use crate::access::{Caller, credential, site};
use crate::admission::{unaudited, wrong_key};
use crate::answer::Answer;
use crate::edge::RequestId;
use crate::failure::{Code, Failure};
use crate::json_body::{Command, JsonBody};
use crate::shape::access::{CallerShape, LoginShape, LogoutShape};
use crate::state::State;

const ACTION: &str = "login";

pub(crate) struct LoginApi {
    pub(crate) state: Arc<State>,
}

/// A login.
#[derive(Default, Deserialize, Object)]
#[serde(default, deny_unknown_fields)]
struct LoginRequest {
    /// The API key.
    key: String,
}

impl Command for LoginRequest {
    const WHAT: &'static str = "The key to log in with";
    const EXPECTED: &'static str = "a JSON object with key is expected";
    const REQUIRED: bool = true;
}

/// An answer that sets the cookie.
struct WithCookie<T>(Answer<T>, String);

impl<T> IntoResponse for WithCookie<T>
where
    Answer<T>: IntoResponse,
    T: Send,
{
    fn into_response(self) -> Response {
        self.0.with_header(header::SET_COOKIE, self.1).into_response()
    }
}

impl<T> ApiResponse for WithCookie<T>
where
    Answer<T>: ApiResponse,
{
    fn meta() -> MetaResponses {
        Answer::<T>::meta()
    }

    fn register(registry: &mut Registry) {
        Answer::<T>::register(registry);
    }
}

#[OpenApi(prefix_path = "/api", tag = "Group::Access")]
impl LoginApi {
    /// Log in with an API key, for browsers.
    ///
    /// Sets a cookie that scripts can't read and other sites can't use. It holds for a while, never longer than the key.
    #[oai(path = "/login", method = "post", operation_id = "login")]
    async fn login(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        request_id: Data<&RequestId>,
        body: JsonBody<LoginRequest>,
    ) -> Result<WithCookie<LoginShape>, Failure> {
        let state = &self.state;
        if site::is_foreign(request, &state.options.cors_origins) {
            let message = "not let in: a page of another site can't log in here";
            return Err(Failure::new(Code::Forbidden, message));
        }
        let asked = body.read(&state.options).await?;
        let directory = state.keys.directory();
        let directory = directory
            .ok_or_else(|| Failure::later("closed until the API keys have been read from the log", 1))?;
        let now = state.clock.now();
        let deed = |caller| Deed {
            caller,
            action: ACTION,
            target: None,
            request_id: &request_id.0.0,
        };
        let key = credential::verify(&directory, asked.key.trim(), now).map_err(|wrong| {
            let failure = wrong_key(state, request, &wrong.to_string());
            state.trail.refused(deed(*caller), failure.code.status());
            failure
        })?;
        let logged_in = Caller::with_key(request, key);
        let audited = state.trail.done(deed(&logged_in)).await;
        audited.map_err(|error| unaudited(&error))?;
        let expires = self.until(now, key.created.expires_at);
        let session = Session::new(key, expires, &state.session_secret);
        let seconds = expires.as_secs() - now.as_secs();
        let cookie = set_cookie(&session.text(), seconds, site::is_secure(request));
        let shape = LoginShape {
            name: logged_in.name,
            tenant: logged_in.tenant.to_string(),
            scope: logged_in.scope.map(|scope| scope.to_string()),
            expires_at: expires.to_string(),
        };
        Ok(WithCookie(Answer(shape), cookie))
    }

    /// Say who asks, and what they may do.
    #[oai(path = "/whoami", method = "get", operation_id = "whoami")]
    async fn whoami(&self, caller: Data<&Caller>) -> Result<Answer<CallerShape>, Failure> {
        let may = |scope: &Scope| caller.scope.is_some_and(|has| has.includes(*scope));
        let scopes = Scope::ALL.into_iter().filter(may);
        Ok(Answer(CallerShape {
            name: caller.name.clone(),
            key: caller.key.as_ref().map(ToString::to_string),
            tenant: caller.tenant.to_string(),
            scopes: scopes.map(|scope| scope.to_string()).collect(),
            runs_the_instance: caller.runs_the_instance(),
            keyless: self.state.keyless(),
            expires_at: caller.until.map(|until| until.to_string()),
        }))
    }

    /// Log out: takes the cookie away.
    #[oai(path = "/logout", method = "post", operation_id = "logout")]
    async fn logout(&self, request: &Request) -> Result<WithCookie<LogoutShape>, Failure> {
        if site::is_foreign(request, &self.state.options.cors_origins) {
            let message = "a page of another site can't log out here";
            return Err(Failure::new(Code::Forbidden, message));
        }
        let cookie = set_cookie("", 0, site::is_secure(request));
        Ok(WithCookie(Answer(LogoutShape { logged_out: true }), cookie))
    }
}

impl LoginApi {
    fn until(&self, now: Timestamp, key_expires: Option<Timestamp>) -> Timestamp {
        let session_ms = i64::try_from(self.state.options.session_ms).unwrap_or(i64::MAX);
        let session = now.plus_millis(session_ms);
        key_expires.map_or(session, |key| key.min(session))
    }
}
