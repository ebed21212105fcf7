//! The dashboard's files, whether it was built or its notice stands in for it.

use poem::http::StatusCode;
use poem::test::TestResponse;

use super::World;

async fn get(path: &str, headers: &[(&'static str, &str)]) -> TestResponse {
    // From afar and without a key: the files are open to all.
    let client = World::new().client_at("203.0.113.7:5000");
    let mut request = client.get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await
}

#[tokio::test]
async fn the_pages_are_open_to_all_and_may_run_nothing_but_their_own_files() {
    let answer = get("/dashboard/", &[]).await;
    answer.assert_status_is_ok();
    answer.assert_content_type("text/html; charset=utf-8");
    answer.assert_header("cache-control", "no-cache");
    answer.assert_header("x-content-type-options", "nosniff");
    answer.assert_header("x-frame-options", "DENY");
    let policy = answer.0.header("content-security-policy").unwrap().to_owned();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("script-src 'self'"),
        "{policy}"
    );
    for lax in ["unsafe", "*", "http", "data:"] {
        assert!(!policy.contains(lax), "{policy}");
    }
    let page = answer.0.into_body().into_string().await.unwrap();
    assert!(page.contains("<title>Hooklog</title>"));
    assert!(
        !page.contains("style=\"") && !page.contains("<style"),
        "the policy forbids styles in the page"
    );
    for script in page.split("<script").skip(1) {
        assert!(
            script.split('>').next().unwrap().contains("src=\"/dashboard/"),
            "the policy forbids scripts in the page"
        );
    }
}

#[tokio::test]
async fn every_address_below_it_is_the_one_page_but_of_files_that_are_missing() {
    let page = get("/dashboard/", &[])
        .await
        .0
        .into_body()
        .into_string()
        .await
        .unwrap();
    for path in [
        "/dashboard/stream",
        "/dashboard/deliveries/github.41.x%2Fy",
        "/dashboard/repositories/a/b/c",
        "/dashboard/index.html",
    ] {
        let answer = get(path, &[]).await;
        answer.assert_status_is_ok();
        assert_eq!(answer.0.into_body().into_string().await.unwrap(), page, "{path}");
    }
    for path in [
        "/dashboard/assets/no-such-file.js",
        "/dashboard/../../etc/passwd",
        "/dashboard/deliveries/../..",
        "/dashboard//stream",
    ] {
        get(path, &[]).await.assert_status(StatusCode::NOT_FOUND);
    }
    let bare = get("/dashboard", &[]).await;
    bare.assert_status(StatusCode::PERMANENT_REDIRECT);
    bare.assert_header("location", "/dashboard/");
}

#[tokio::test]
async fn what_a_browser_has_is_not_sent_again() {
    let tag = get("/dashboard/", &[]).await.0.header("etag").unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
        let answer = get("/dashboard/", &[("if-none-match", &known)]).await;
        answer.assert_status(StatusCode::NOT_MODIFIED);
        answer.assert_header("etag", &tag);
    }
    get("/dashboard/", &[("if-none-match", "\"other\"")])
        .await
        .assert_status_is_ok();
}

#[tokio::test]
async fn hashed_files_are_kept_for_ever_and_sent_compressed_to_those_who_take_it() {
    let page = get("/dashboard/", &[])
        .await
        .0
        .into_body()
        .into_string()
        .await
        .unwrap();
    // The notice that stands in for a dashboard that was not built has none.
    for script in page
        .split("src=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
    {
        let plain = get(script, &[]).await;
        plain.assert_status_is_ok();
        plain.assert_content_type("text/javascript; charset=utf-8");
        if !script.contains("/assets/") {
            continue;
        }
        plain.assert_header("cache-control", "public, max-age=31536000, immutable");
        assert_eq!(plain.0.header("content-encoding"), None);
        let zipped = get(script, &[("accept-encoding", "br, gzip;q=0.8")]).await;
        zipped.assert_header("content-encoding", "gzip");
        let refused = get(script, &[("accept-encoding", "gzip;q=0")]).await;
        assert_eq!(refused.0.header("content-encoding"), None);
    }
}
