use secrecy::ExposeSecret as _;

use super::*;

fn load(env: &[(&str, &str)], flags: Overrides) -> Result<Loaded, SettingsError> {
    flags.load_with(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

fn file(text: &str) -> (tempfile::TempDir, Overrides) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hooklog.toml");
    std::fs::write(&path, text).unwrap();
    (dir, Overrides::default().file(Some(path)))
}

fn refusal(env: &[(&str, &str)], text: &str) -> String {
    let (_dir, overrides) = file(text);
    load(env, overrides).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn the_default_file_is_complete_and_fits() {
    let (_dir, overrides) = file("");
    let settings = load(&[], overrides).unwrap().settings;
    assert_eq!(settings.server.port, 3000);
    assert!(settings.server.host.is_loopback());
    settings.check().unwrap();
}

#[test]
fn flags_go_before_environment_before_file_before_default() {
    let text = "[server]\nport = 4001\nidle_timeout_ms = 7\n[telemetry]\nlevel = \"warn\"\n";
    let (_dir, overrides) = file(text);
    let overrides = overrides.flag("--port", "server.port", Some(4003));
    let env = [("WEBHOOK_PORT", "4002"), ("HOOKLOG_SERVER__IDLE_TIMEOUT_MS", "8")];
    let settings = load(&env, overrides).unwrap().settings;
    assert_eq!(settings.server.port, 4003);
    assert_eq!(settings.server.idle_timeout_ms, 8);
    assert_eq!(settings.telemetry.level, "warn");
}

#[test]
fn old_variables_keep_their_meaning() {
    let env = [
        ("WEBHOOK_DEDUP_TTL", "5000"),
        ("WEBHOOK_BASE_URL", "https://hooks.example.com/"),
        ("WEBHOOK_VALIDATOR_IP_WHITELIST", "192.30.252.0/22, 10.0.0.1"),
        ("GITHUB_WEBHOOK_SECRET", "0123"),
    ];
    let (_dir, overrides) = file("[source.github]\nsecrets = [\"from the file\"]\n");
    let settings = load(&env, overrides).unwrap().settings;
    assert_eq!(settings.ingest.dedup_window_ms, 5000);
    assert_eq!(settings.server.base_url(), "https://hooks.example.com");
    assert_eq!(settings.server.webhook_addresses.len(), 2);
    assert_eq!(
        settings.secret_of("github").unwrap(),
        "0123",
        "a secret of digits stays a text"
    );
}

#[test]
fn each_old_secret_makes_a_source_of_its_scheme() {
    use ingest::SchemeKind::{ClaudeCode, Codegen, Github, Gitlab, Linear, Standard};
    let kinds = [
        ("GITHUB", "github", Github),
        ("GITLAB", "gitlab", Gitlab),
        ("LINEAR", "linear", Linear),
        ("STANDARD", "standard", Standard),
        ("CODEGEN", "codegen", Codegen),
        ("CLAUDE_CODE", "claude-code", ClaudeCode),
    ];
    for (variable, source, kind) in kinds {
        let (_dir, overrides) = file("");
        let secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZg==";
        let variable = format!("{variable}_WEBHOOK_SECRET");
        let loaded = load(&[(&variable, secret)], overrides).unwrap();
        assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
        let settings = loaded.settings;
        settings.check().unwrap();
        assert_eq!(settings.secret_of(source).unwrap(), secret);
        let sources = settings.sources(|_| Ok("generated".into())).unwrap();
        let one = sources.iter().find(|s| s.name.as_str() == source).unwrap();
        assert_eq!((one.scheme, one.secrets.len()), (kind, 1), "{variable}");
    }
}

#[test]
fn a_source_has_the_scheme_that_it_says_else_that_of_its_name() {
    use ingest::SchemeKind::{Github, Gitlab, Linear};
    let text = "[source.linear]\n[source.team]\nscheme = \"gitlab\"\n[source.other]\n";
    let (_dir, overrides) = file(text);
    let settings = load(&[], overrides).unwrap().settings;
    let scheme = |name: &str| {
        let name = name.parse().unwrap();
        settings.source[&name].scheme(&name)
    };
    assert_eq!(
        [
            scheme("linear"),
            scheme("team"),
            scheme("other"),
            scheme("github")
        ],
        [Linear, Gitlab, Github, Github]
    );
    let error = refusal(&[], "[source.x]\nscheme = \"linaer\"\n");
    assert!(
        error.contains("source.x.scheme") && error.contains("linear"),
        "{error}"
    );
}

#[test]
fn a_secret_that_its_scheme_can_not_use_is_refused_without_being_shown() {
    for source in ["[source.standard]", "[source.x]\nscheme = \"standard\""] {
        let (_dir, overrides) = file(&format!("{source}\nsecrets = [\"swordfish, no base64\"]\n"));
        let error = load(&[], overrides).unwrap().settings.check().unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("whsec_") && error.contains("-1\"") && !error.contains("swordfish"),
            "{error}"
        );
    }
    let (_dir, overrides) = file("[source.standard]\n");
    load(&[], overrides).unwrap().settings.check().unwrap();
}

#[test]
fn settings_of_a_scheme_that_can_not_be_used_are_refused_by_name() {
    let problem = |text: &str| {
        let (_dir, overrides) = file(text);
        let settings = match load(&[], overrides) {
            Ok(loaded) => loaded.settings,
            Err(error) => return error.to_string(),
        };
        format!("{:#}", settings.check().unwrap_err())
    };
    for (text, says) in [
        ("[source.shop]\nscheme = \"hmac\"", "proof.header"),
        (
            "[source.shop]\nscheme = \"hmac\"\nproof = { header = \"X-S\", hash = \"md5\" }",
            "source.shop.proof.hash",
        ),
        (
            "[source.shop]\nscheme = \"hmac\"\nproof = { headers = \"X-S\" }",
            "did you mean source.shop.proof.header?",
        ),
        ("[source.github]\nproof = { header = \"X-S\" }", "proof"),
        ("[source.gitlab]\nfacts = { event_pointer = \"/type\" }", "facts"),
        (
            "[source.codegen]\nfacts = { event_pointer = \"type\" }",
            "JSON pointer",
        ),
    ] {
        let error = problem(text);
        assert!(error.contains(says), "{text}: {error}");
    }
    let whole = "[source.shop]\nscheme = \"hmac\"\nproof = { header = \"X-Shopify-Hmac-Sha256\", encoding = \"base64\" }\n\
                 facts = { id_header = \"X-Shopify-Webhook-Id\", event_header = \"X-Shopify-Topic\" }\n";
    let (_dir, overrides) = file(whole);
    load(&[], overrides).unwrap().settings.check().unwrap();
}

#[test]
fn the_old_tolerance_counts_seconds() {
    let (_dir, overrides) = file("[source.linear]\ntolerance_ms = 5\n");
    let settings = load(&[("WEBHOOK_VALIDATOR_TIMESTAMP", "90")], overrides)
        .unwrap()
        .settings;
    assert_eq!(settings.ingest.tolerance_ms, Some(90_000));
    let sources = settings.sources(|_| Ok("generated".into())).unwrap();
    let linear = sources.iter().find(|s| s.name.as_str() == "linear").unwrap();
    assert_eq!(linear.tolerance_ms, Some(5));
    let error = refusal(&[("WEBHOOK_VALIDATOR_TIMESTAMP", "1.5 minutes")], "");
    assert!(error.contains("whole number of seconds"), "{error}");
}

#[test]
fn a_variable_without_effect_is_named_with_its_successor() {
    let (_dir, overrides) = file("");
    let notices = load(
        &[("DATABASE_URL", "postgres://x"), ("EVENT_STORE_X", "1")],
        overrides,
    )
    .unwrap()
    .notices;
    assert_eq!(notices.len(), 2);
    assert!(
        notices
            .iter()
            .any(|n| n.contains("DATABASE_URL") && n.contains("--clickhouse-url")),
        "{notices:?}"
    );
}

#[test]
fn a_misspelt_key_is_refused_with_the_nearest_one() {
    let error = refusal(&[], "[server]\nprot = 1\n");
    assert!(
        error.contains("server.prot") && error.contains("did you mean server.port?"),
        "{error}"
    );
    let error = refusal(&[], "[sever]\nport = 1\n");
    assert!(
        error.contains("sever") && error.contains("did you mean server?"),
        "{error}"
    );
    let error = refusal(&[("HOOKLOG_SERVER__PROT", "1")], "");
    assert!(
        error.contains("HOOKLOG_SERVER__PROT") && error.contains("server.port"),
        "{error}"
    );
    let error = refusal(&[("HOOKLOG_ENGINE", "x")], "");
    assert!(error.contains("HOOKLOG_ENGINES"), "{error}");
    let error = refusal(&[], "[source.github]\nsecret = \"x\"\n");
    assert!(error.contains("source.github.secrets"), "{error}");
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_where_it_stands() {
    let error = refusal(&[], "[server]\nport = \"many\"\n");
    assert!(
        error.contains("hooklog.toml") && error.contains("server.port"),
        "{error}"
    );
    let error = refusal(&[("WEBHOOK_VALIDATOR_IP_WHITELIST", "home")], "");
    assert!(
        error.contains("\"home\"") && error.contains("192.30.252.0/22"),
        "{error}"
    );
    let error = refusal(&[], "[server\n");
    assert!(error.contains("hooklog.toml"), "{error}");
}

#[test]
fn secrets_are_never_printed_and_origins_are() {
    let (_dir, overrides) = file("[server]\nport = 4001\n");
    let env = [
        ("GITHUB_WEBHOOK_SECRET", "swordfish"),
        ("HOOKLOG_NATS__TOKEN", "swordfish"),
    ];
    let loaded = load(&env, overrides).unwrap();
    let printed = print(&loaded.figment);
    assert!(!printed.contains("swordfish"), "{printed}");
    assert!(!format!("{:?}", loaded.settings).contains("swordfish"));
    let line = |key: &str| printed.lines().find(|l| l.starts_with(key)).unwrap().to_owned();
    assert!(
        line("server.port").contains("4001") && line("server.port").contains("hooklog.toml"),
        "{printed}"
    );
    assert!(
        line("nats.token").contains("***") && line("nats.token").contains("HOOKLOG_NATS__TOKEN"),
        "{printed}"
    );
    assert!(line("server.host").ends_with("default"), "{printed}");
}

#[test]
fn a_password_of_digits_stays_a_text() {
    let (_dir, overrides) = file("");
    let overrides = overrides.flag("--data-dir", "data.dir", Some("2026"));
    let env = [
        ("HOOKLOG_CLICKHOUSE__PASSWORD", "4711"),
        ("HOOKLOG_NATS__TOKEN", "true"),
        ("HOOKLOG_SERVER__PORT", "4001"),
    ];
    let loaded = load(&env, overrides).unwrap();
    let of = |key: &str| loaded.figment.extract_inner::<String>(key).unwrap();
    assert_eq!(of("clickhouse.password"), "4711");
    assert_eq!(of("nats.token"), "true");
    assert_eq!(loaded.settings.data.dir, Path::new("2026"));
    assert_eq!(loaded.settings.server.port, 4001);
}

#[test]
fn a_refusal_never_shows_a_secret() {
    for text in [
        "[source.github]\nsecrets = [\"47114711]\n",
        "[source.github]\nsecrets = 47114711\n",
        "[source.github]\nsecrets = [47114711]\n",
        "[clickhouse]\npassword = 47114711\n",
        "[nats]\ntoken = 47114711\n",
    ] {
        let error = refusal(&[], text);
        assert!(!error.contains("4711"), "{error}");
        assert!(error.contains("hooklog.toml"), "{error}");
    }
    let error = refusal(&[], "[server]\n\nport = = 1\n");
    assert!(error.contains("line 3"), "{error}");
}

#[test]
fn engines_of_others_are_reached_as_the_settings_say_and_seeds_are_not_printed() {
    let text = "[nats]\nurl = \"tls://nats-1:4222\"\nnkey_seed = \"SUABC\"\ntls_ca_file = \"ca.crt\"\n\
                [clickhouse]\nurl = \"https://a:8443,https://b:8443\"\ncluster = \"main\"\ninsert_quorum = 1\n";
    let (_dir, overrides) = file(text);
    let env = [
        ("HOOKLOG_NATS__REPLICAS", "3"),
        ("HOOKLOG_CLICKHOUSE__TLS_CA_FILE", "ca.crt"),
    ];
    let loaded = load(&env, overrides).unwrap();
    loaded.settings.check().unwrap();
    assert!(loaded.settings.nats.wants_tls());
    assert_eq!(loaded.settings.clickhouse.insert_quorum, "1");
    let printed = print(&loaded.figment);
    assert!(!printed.contains("SUABC"), "{printed}");
    assert!(printed.contains("nats.nkey_seed = ***"), "{printed}");
}

#[test]
fn settings_of_engines_that_contradict_each_other_are_refused() {
    for (text, part) in [
        (
            "[nats]\nurl = \"nats-1\"\ntoken = \"a\"\nuser = \"b\"\n",
            "[nats]: one way to be let in",
        ),
        ("[nats]\nreplicas = 3\n", "[nats]: replicas"),
        (
            "[clickhouse]\nurl = \"http://a:8123\"\ntls_ca_file = \"ca.crt\"\n",
            "[clickhouse]: url",
        ),
        ("[clickhouse]\ncluster = \"main\"\n", "[clickhouse]: cluster"),
    ] {
        let (_dir, overrides) = file(text);
        let error = load(&[], overrides)
            .unwrap()
            .settings
            .check()
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_password_in_a_url_is_never_printed() {
    let (_dir, overrides) = file("");
    let env = [
        (
            "HOOKLOG_NATS__URL",
            "nats://me:sesa@me@nats-1:4222,nats-2:4222,nats://sesame@nats-3",
        ),
        ("HOOKLOG_CLICKHOUSE__URL", "http://ch:8123/?at=@"),
    ];
    let printed = print(&load(&env, overrides).unwrap().figment);
    assert!(!printed.contains("sesa"), "{printed}");
    assert!(
        printed.contains("nats://***@nats-1:4222,nats-2:4222,nats://***@nats-3"),
        "{printed}"
    );
    assert!(printed.contains("http://ch:8123/?at=@"), "{printed}");
}

#[test]
fn the_key_of_secrets_is_taken_from_its_variable_without_a_word() {
    let (_dir, overrides) = file("");
    let loaded = load(&[("HOOKLOG_SECRET_KEY", "k")], overrides).unwrap();
    assert_eq!(loaded.settings.secrets.key.expose_secret(), "k");
    assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
}

#[test]
fn a_destination_that_can_not_be_used_is_named_with_what_is_wrong() {
    let block = |more: &str| format!("[[destination]]\nname = \"ci\"\n{more}\n");
    for (more, says) in [
        ("", "give one of url, urls and subject"),
        ("url = \"ftp://x\"", "url"),
        ("url = \"https://x\"\ncondition = \"body.\"", "condition"),
        ("url = \"https://x\"\ntransform = \".[\"", "transform"),
        ("subject = \"hooklog.v1.x\"", "subject"),
    ] {
        let (_dir, overrides) = file(&block(more));
        let settings = load(&[], overrides).unwrap().settings;
        let error = format!("{:#}", settings.check().unwrap_err());
        assert!(
            error.contains("destination \"ci\"") && error.contains(says),
            "{more}: {error}"
        );
    }
    let error = refusal(&[], &block("urll = \"https://x\""));
    assert!(
        error.contains("urll") && error.contains("did you mean"),
        "{error}"
    );
}

#[test]
fn secrets_of_destinations_are_never_printed() {
    let text = "[[destination]]\nname = \"ci\"\nurl = \"https://user:swordfish@x/swordfish?key=swordfish\"\nsecret = \"swordfish\"\n\
                headers = { Authorization = \"swordfish\" }\nevents = [\"push\"]\n";
    let (_dir, overrides) = file(text);
    let loaded = load(&[], overrides).unwrap();
    let printed = print(&loaded.figment);
    assert!(!printed.contains("swordfish"), "{printed}");
    assert!(printed.contains("https://***@x/***"), "{printed}");
    assert!(printed.contains("destination.0.events = [\"push\"]"), "{printed}");
}

#[test]
fn the_old_variables_of_retries_set_what_took_their_place() {
    let (_dir, overrides) = file("");
    let env = [
        ("WEBHOOK_MAX_RETRIES", "7"),
        ("RETRY_MANAGER_BASE_DELAY", "250"),
        ("RETRY_MANAGER_CIRCUIT_BREAKER", "false"),
        ("EVENT_QUEUE_CONCURRENCY", "9"),
    ];
    let loaded = load(&env, overrides).unwrap();
    let reactors = &loaded.settings.reactors;
    assert_eq!((reactors.retries_max, reactors.retry_delay_ms), (7, 250));
    assert_eq!((reactors.circuit_breaker, reactors.concurrency), (false, 9));
    assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
}
