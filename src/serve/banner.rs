//! What a person sees when the server is up: where it listens, and a command to try it with.

use std::net::SocketAddr;

use infra::data_dir::DataDir;

use crate::settings::Settings;

/// What the banner is made of.
pub(crate) struct Banner<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) settings: &'a Settings,
    pub(crate) data: &'a DataDir,
    /// Whether there never was an API key, where the log has said.
    pub(crate) keyless: Option<bool>,
}

/// Prints it to standard output.
#[allow(
    clippy::print_stdout,
    reason = "for the person who typed the command, not for the log"
)]
pub(crate) fn print(banner: &Banner<'_>) {
    println!("{}", text(banner));
}

fn text(banner: &Banner<'_>) -> String {
    let Banner {
        address,
        settings,
        data,
        keyless,
    } = banner;
    let version = env!("CARGO_PKG_VERSION");
    let scheme = settings.server.scheme();
    let mut lines = vec![
        format!("hooklog {version} listens on {scheme}://{address}"),
        format!("  webhooks   POST {scheme}://{address}/api/webhooks/<source>"),
        format!("  dashboard  {scheme}://{address}/dashboard/"),
        format!("  API        {scheme}://{address}/docs"),
        format!("  data       {}", data.path().display()),
    ];
    for (name, source) in &settings.source {
        let secret = if !source.verify {
            "takes deliveries without proof, from this machine only".to_owned()
        } else if source.secrets.is_empty() {
            format!(
                "secret made for you in {}",
                data.secrets().join(name.as_str()).display()
            )
        } else {
            "secret from the settings".to_owned()
        };
        lines.push(format!("  source     {name}: {secret}"));
    }
    lines.extend(access(settings.server.host.is_loopback(), *keyless).map(str::to_owned));
    lines.push("  try it     in another terminal:".into());
    lines.push(curl(banner));
    lines.join("\n")
}

/// Who is let in.
const fn access(is_loopback: bool, keyless: Option<bool>) -> Option<&'static str> {
    match keyless {
        Some(true) if is_loopback => None,
        Some(true) => Some(
            "  note       no API key is configured: the API answers only requests made on this machine; make one with \
             `hooklog key create`",
        ),
        Some(false) => Some("  access     by API key; `hooklog key list` shows them"),
        None => Some("  note       the API is closed until the keys have been read from the log"),
    }
}

fn curl(banner: &Banner<'_>) -> String {
    let Banner {
        address,
        settings,
        data,
        ..
    } = banner;
    let scheme = settings.server.scheme();
    let github = settings.source.iter().find(|(name, _)| name.as_str() == "github");
    if github.is_none_or(|(_, source)| !source.secrets.is_empty()) {
        return format!(
            "hooklog send --url {scheme}://{address} --data-dir {}",
            data.path().display()
        );
    }
    let secret = data.secrets().join("github");
    format!(
        r#"body='{{"zen":"It works.","repository":{{"full_name":"octo-org/hello"}}}}'
curl -sS {scheme}://{address}/api/webhooks/github -H 'Content-Type: application/json' \
  -H 'X-GitHub-Event: ping' -H "X-GitHub-Delivery: try-$(date +%s)" -d "$body" \
  -H "X-Hub-Signature-256: sha256=$(printf %s "$body" | openssl dgst -sha256 -hmac "$(cat '{}')" -r | cut -d' ' -f1)""#,
        secret.display()
    )
}
