//! Logins, and who tries many keys.

use domain::Scope;
use poem::http::uri::Scheme;
use poem::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::World;
use super::keys::{FAR, ask, told};

#[tokio::test]
async fn a_login_is_a_cookie_that_ends_with_its_key_and_helps_no_other_site() {
    let world = World::new();
    let key = world.doors.key("dash", "default", Scope::Operate);
    let body = json!({ "key": key });
    let wrong = ask(
        &world,
        FAR,
        Method::POST,
        "/api/login",
        &[],
        &json!({"key": "hk_1_x"}),
    )
    .await;
    assert_eq!((wrong.status, wrong.headers.get("set-cookie")), (401, None));
    let foreign = [("origin", "https://evil.example")];
    assert_eq!(
        ask(&world, FAR, Method::POST, "/api/login", &foreign, &body)
            .await
            .status,
        403
    );
    let seen = ask(&world, FAR, Method::POST, "/api/login", &[], &body).await;
    assert_eq!(
        (seen.status, &seen.json["data"]["scope"]),
        (200, &json!("operate")),
        "{}",
        seen.json
    );
    let set = seen.headers["set-cookie"].to_str().unwrap().to_owned();
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(set.contains(flag) && !set.contains("Secure"), "{set}");
    }
    assert!(!set.contains(&key[16..]), "the cookie is not the key");
    let cookie = set.split(';').next().unwrap();
    logged_in(&world, cookie).await;
    let id = key.split('_').nth(1).unwrap();
    world
        .owner()
        .delete(format!("/api/keys/{id}"))
        .send()
        .await
        .assert_status_is_ok();
    let headers = [("cookie", cookie)];
    let seen = ask(&world, FAR, Method::GET, "/api/jobs", &headers, &Value::Null).await;
    assert_eq!(seen.status, 401);
}

/// What the cookie of an operator opens.
async fn logged_in(world: &World, cookie: &str) {
    let foreign = [("origin", "https://evil.example")];
    let go = async |method: Method, path: &str, more: &[(&'static str, &str)]| {
        let headers = [&[("cookie", cookie)], more].concat();
        ask(world, FAR, method, path, &headers, &Value::Null).await
    };
    let retry = "/api/webhooks/retry-failed";
    assert_eq!(go(Method::GET, "/api/jobs", &[]).await.status, 200);
    assert_eq!(
        go(Method::POST, retry, &[("sec-fetch-site", "same-origin")])
            .await
            .status,
        200
    );
    assert_eq!(
        go(Method::POST, retry, &[("sec-fetch-site", "cross-site")])
            .await
            .status,
        403
    );
    assert_eq!(go(Method::POST, retry, &foreign).await.status, 403);
    assert_eq!(go(Method::GET, "/api/keys", &[]).await.status, 403);
    let other = world.doors.key("other", "default", Scope::Read);
    assert_eq!(
        go(Method::GET, "/api/jobs", &[("x-api-key", &other)])
            .await
            .status,
        401
    );
    let out = go(Method::POST, "/api/logout", &[]).await;
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    for bad in [
        format!("{cookie}x"),
        cookie.replace(".1", ".2"),
        "hooklog_session=".to_owned(),
    ] {
        let seen = ask(
            world,
            FAR,
            Method::GET,
            "/api/jobs",
            &[("cookie", &bad)],
            &Value::Null,
        )
        .await;
        assert_eq!(seen.status, 401, "{bad}");
    }
}

#[tokio::test]
async fn over_https_the_cookie_stays_there_and_so_does_the_browser() {
    let world = World::new();
    let key = world.doors.key("dash", "default", Scope::Read);
    let client = world.client_over(FAR, Scheme::HTTPS);
    let seen = told(
        client
            .post("/api/login")
            .body(json!({ "key": key }).to_string())
            .send()
            .await,
    )
    .await;
    let set = seen.headers["set-cookie"].to_str().unwrap();
    assert!(
        set.starts_with("__Host-hooklog_session=") && set.ends_with("; Secure"),
        "{set}"
    );
    assert!(
        seen.headers["strict-transport-security"]
            .to_str()
            .unwrap()
            .starts_with("max-age=")
    );
    let cookie = set.split(';').next().unwrap();
    let jobs = client.get("/api/jobs").header("cookie", cookie).send().await;
    jobs.assert_status_is_ok();
    // Any page of HTTP on this host could have set the one without the prefix.
    let planted = cookie.trim_start_matches("__Host-");
    let jobs = client.get("/api/jobs").header("cookie", planted).send().await;
    jobs.assert_status(StatusCode::UNAUTHORIZED);
    let plain = ask(&world, FAR, Method::GET, "/health", &[], &Value::Null).await;
    assert!(plain.headers.get("strict-transport-security").is_none());
    let forwarded = [("x-forwarded-proto", "https")];
    let seen = ask(
        &world,
        FAR,
        Method::POST,
        "/api/login",
        &forwarded,
        &json!({ "key": key }),
    )
    .await;
    assert!(seen.headers["set-cookie"].to_str().unwrap().ends_with("; Secure"));
}

#[tokio::test]
async fn who_tries_many_keys_is_told_to_wait_and_nobody_else_is() {
    let mut world = World::new();
    world.options.failures_per_minute = 5;
    let good = world.doors.key("ci", "default", Scope::Read);
    let api = world.client_at(FAR);
    let elsewhere = "hk_000000000001_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let mut seen = Vec::new();
    for _ in 0..8 {
        let answer = api.get("/api/jobs").header("x-api-key", elsewhere).send().await;
        seen.push(answer.0.status().as_u16());
    }
    assert_eq!(seen, [401, 401, 401, 401, 401, 429, 429, 429]);
    let answer = api
        .post("/api/login")
        .body(json!({"key": elsewhere}).to_string())
        .send()
        .await;
    answer.assert_status(StatusCode::TOO_MANY_REQUESTS);
    answer.assert_header_exist("retry-after");
    // Nobody guesses a key, so a good one is let in; and without any it is as it was.
    api.get("/api/jobs")
        .header("x-api-key", &good)
        .send()
        .await
        .assert_status_is_ok();
    api.get("/api/jobs")
        .send()
        .await
        .assert_status(StatusCode::UNAUTHORIZED);
}
