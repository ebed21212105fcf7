use super::*;

const TIME: Duration = Duration::from_secs(20);

async fn run(program: &str, json: &str) -> Result<Option<String>, NoBody> {
    let transform = Transform::compile(program, TIME, 1 << 20).unwrap();
    let made = transform
        .run(Bytes::copy_from_slice(json.as_bytes()), Place::default())
        .await;
    made.map(|body| body.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
}

#[tokio::test]
async fn the_first_output_is_the_body() {
    let body = r#"{"ref":"refs/heads/main","commits":[{"id":"a","n":1},{"id":"b","n":2}],"big":12345678901234567890,"f":1.10}"#;
    for (program, made) in [
        (".ref", r#""refs/heads/main""#),
        (
            "{text: \"pushed \\(.ref | ltrimstr(\"refs/heads/\"))\"}",
            r#"{"text":"pushed main"}"#,
        ),
        (".commits[]", r#"{"id":"a","n":1}"#),
        (".commits | map(.n) | add", "3"),
        ("[.commits[] | select(.n > 1) | .id]", r#"["b"]"#),
        (".big", "12345678901234567890"),
        (".f", "1.10"),
        ("del(.commits, .f, .big)", r#"{"ref":"refs/heads/main"}"#),
        (".commits |= map(.n += 1) | [.commits[].n]", "[2,3]"),
        ("to_entries | map(.key)", r#"["ref","commits","big","f"]"#),
        ("reduce .commits[] as $c (0; . + $c.n)", "3"),
        ("[foreach .commits[] as {n: $n} (0; . + $n)]", "[1,3]"),
        ("[limit(3; repeat(1))]", "[1,1,1]"),
        ("first(range(10; 1000000000000))", "10"),
        ("def f: if . > 100000 then . else . + 1 | f end; 0 | f", "100001"),
        ("[paths | tojson] | length", "10"),
        ("try error(\"x\") catch .", r#""x""#),
        ("[.commits[] | .id | test(\"^a\")]", "[true,false]"),
        ("(.commits[0].id) = \"z\" | .commits[0].id", r#""z""#),
        (
            "label $out | foreach .commits[] as $c (0; . + 1; if . == 2 then ., break $out else empty end)",
            "2",
        ),
        (
            "walk(if type == \"number\" then 0 else . end) | .commits[1].n",
            "0",
        ),
        (".commits | group_by(.n) | length", "2"),
        ("@base64 \"\\(.ref)\"", r#""cmVmcy9oZWFkcy9tYWlu""#),
    ] {
        assert_eq!(run(program, body).await, Ok(Some(made.to_owned())), "{program}");
    }
}

#[tokio::test]
async fn no_output_is_nothing_to_send() {
    for program in [
        "empty",
        ".missing // empty",
        "select(.a == 2)",
        ".[] | select(. > 9)",
    ] {
        assert_eq!(run(program, r#"{"a":1}"#).await, Ok(None), "{program}");
    }
}

#[tokio::test]
async fn a_program_that_fails_says_why() {
    for (program, why) in [
        ("error(\"no such thing\")", "no such thing"),
        (".a.b.c", "cannot index"),
        ("nan", "no JSON"),
        ("{(1|tostring): infinite}", "no JSON"),
    ] {
        let error = run(program, r#"{"a":1}"#).await.unwrap_err();
        assert!(error.to_string().contains(why), "{program}: {error}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_or_too_deep_is_not_looked_into() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    for body in [
        "",
        "x",
        "{",
        "NaN",
        "{\"a\":1}x",
        "[1,]",
        "{a:1}",
        "# comment\n1",
        &deep(129),
        &deep(200_000),
    ] {
        let refused = run(".", body).await;
        assert!(
            matches!(refused, Err(NoBody::Input(_))),
            "{body:.20}: {refused:?}"
        );
    }
    assert!(run(".", &deep(128)).await.is_ok());
}

#[tokio::test]
async fn a_program_that_runs_away_is_stopped() {
    let time = Duration::from_millis(300);
    for program in [
        "def f: f; f",
        "def f: 1 + f; f",
        "def f: f | . + 1; 0 | f",
        "def f(g): f(g | g); f(.)",
        "[repeat(1)]",
        "last(repeat(1))",
        "[range(1e12)]",
        "reduce range(1e12) as $x (0; . + 1)",
        "last(range(1e12))",
        "range(1e12) | empty",
        "first(range(1e12) | select(false))",
        "if range(1e12) then empty else . end",
        "def f: try f catch f; f",
        "def f: try error(\"x\") catch f; f",
        "def f: (try repeat(error(1)) catch empty), f; f",
        "isempty(range(1e12) | empty)",
        "[recurse([.])] | length",
        "until(false; . )",
        "while(true; .) | empty",
        "[limit(1e12; repeat(0))]",
        "path(repeat(.)) | empty",
        "(repeat(.)) |= .",
        "reduce repeat(0) as $i (null; [.])",
    ] {
        let transform = Transform::compile(program, time, 1 << 20).unwrap();
        let begun = std::time::Instant::now();
        let ended = transform.run(Bytes::from_static(b"{}"), Place::default()).await;
        assert!(matches!(ended, Err(NoBody::Stopped(_))), "{program}: {ended:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{program}: {:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test]
async fn a_value_nested_as_deep_as_the_steps_allow_ends_the_run_and_not_the_process() {
    for program in [
        "reduce repeat(0) as $i (null; [.])",
        "reduce repeat(0) as $i (null; {a: .})",
    ] {
        let mut transform = Transform::compile(program, Duration::from_secs(120), 1 << 20).unwrap();
        transform.fuel.steps = 300_000;
        transform.fuel.stack_bytes = 256 * 1024;
        let ended = transform.run(Bytes::from_static(b"{}"), Place::default()).await;
        let steps = NoBody::Stopped("took more than 300000 steps".to_owned());
        assert_eq!(ended, Err(steps), "{program}");
    }
}

#[tokio::test]
async fn output_is_bounded() {
    let body = format!("\"{}\"", "x".repeat(1000));
    let transform = Transform::compile("[., .]", TIME, 1500).unwrap();
    let made = transform.run(Bytes::from(body.clone()), Place::default()).await;
    assert!(matches!(made, Err(NoBody::Stopped(_))), "{made:?}");
    let error = run("error([., ., .])", &body).await.unwrap_err().to_string();
    assert!(error.len() < 1000, "{}", error.len());
}

#[test]
fn what_does_not_compile_is_refused_with_its_reason() {
    for (program, why) in [
        (".a |", "expected"),
        ("(", "expected"),
        (".a b", "expected"),
        ("\"open", "expected"),
        ("nonsense(1)", "nonsense"),
        ("$nonsense", "nonsense"),
        ("", "expected"),
    ] {
        let error = Transform::compile(program, TIME, 1).unwrap_err();
        assert!(error.contains(why), "{program:?}: {error}");
    }
    let deep = format!("{}1{}", "(".repeat(30_000), ")".repeat(30_000));
    // Whatever it says, it says it without an overflow.
    let _ = Transform::compile(&deep, TIME, 1);
    assert!(Transform::compile(&" ".repeat(PROGRAM_BYTES_MAX + 1), TIME, 1).is_err());
}

#[test]
fn nothing_reaches_outside() {
    for program in [
        "env",
        "$ENV",
        "$ENV.HOME",
        "halt",
        "halt_error",
        "halt(3)",
        "debug",
        "stderr",
        "input",
        "inputs",
        "include \"x\"; .",
        "import \"x\" as x; .",
        "import \"/etc/passwd\" as $x; .",
    ] {
        assert!(Transform::compile(program, TIME, 1).is_err(), "{program}");
    }
}

#[tokio::test]
async fn a_body_can_not_make_a_product_larger_than_what_may_be_sent() {
    for program in [
        "{total: (.price * .quantity)}",
        "{total: (.quantity * .price)}",
        ".price *= .quantity",
        "def total: .price * .quantity; [total]",
        "\"\\(.price * .quantity)\"",
        "[.items[] | .price * .quantity]",
    ] {
        for quantity in ["2000000000000", "9223372036854775807", "99999999999999999999"] {
            let item = format!(r#""price":"{}","quantity":{quantity}"#, "x".repeat(1000));
            let ended = run(program, &format!("{{{item},\"items\":[{{{item}}}]}}")).await;
            assert!(matches!(ended, Err(NoBody::Stopped(_))), "{program}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn products_are_those_of_jq() {
    let body = r#"{"a":6,"s":"ab","n":3,"list":[1,2],"o":{"x":{"y":1}},"p":{"x":{"z":2}}}"#;
    for (program, made) in [
        (".a * .n", "18"),
        (".s * .n", r#""ababab""#),
        (".n * .s", r#""ababab""#),
        (".s * 0", "null"),
        ("[(1, 2) * (3, 4)]", "[3,4,6,8]"),
        ("2 * 3 * 4 + 1 * 5", "29"),
        (".o * .p", r#"{"x":{"y":1,"z":2}}"#),
        (".list[] *= .n | .list", "[3,6]"),
        ("[.list | .[0] *= (2, 3) | .[0]]", "[2,3]"),
        ("[.list[] as $x | $x * $x]", "[1,4]"),
        ("try (.s * .s) catch \"no\"", r#""no""#),
        (".list |= map(. * 2) | .list", "[2,4]"),
        ("1.5 * 2", "3.0"),
        ("[.list[] | (. * 10) * (. * 10)]", "[100,400]"),
    ] {
        assert_eq!(run(program, body).await, Ok(Some(made.to_owned())), "{program}");
    }
}

#[tokio::test]
async fn a_number_of_endless_digits_is_not_read() {
    let begun = std::time::Instant::now();
    for body in [
        format!("{{\"n\":{}}}", "9".repeat(4_000_000)),
        format!("[-{}]", "1".repeat(1001)),
        format!("[1.{}]", "1".repeat(1001)),
    ] {
        let refused = run(".n?", &body).await;
        assert!(
            matches!(refused, Err(NoBody::Input(_))),
            "{body:.20}: {refused:?}"
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let fits = format!("[{}, \"{}\"]", "9".repeat(1000), "9".repeat(5000));
    assert!(run(".", &fits).await.is_ok());
}

#[tokio::test]
async fn a_run_that_fills_the_memory_is_stopped() {
    let body = format!(
        r#"{{"name":"{}","items":[{}]}}"#,
        "n".repeat(500_000),
        vec![r#"{"m":""}"#; 20_000].join(",")
    );
    let mut transform =
        Transform::compile(". as $e | [.items[] | $e.name + .m] | length", TIME, 1 << 20).unwrap();
    transform.fuel.memory_bytes = 256 << 20;
    let ended = transform.run(Bytes::from(body), Place::default()).await;
    assert!(
        matches!(&ended, Err(NoBody::Stopped(why)) if why.contains("memory")),
        "{ended:?}"
    );
}

#[tokio::test]
async fn json_in_a_text_of_the_body_is_read_as_carefully_as_the_body() {
    let deep = format!("{}{}", "[".repeat(900_000), "]".repeat(900_000));
    let hidden = format!("#\\\"\\n{deep}");
    let endless = "9".repeat(500_000);
    for program in [
        ".p | fromjson | length",
        "[.p] | map(fromjson)",
        ".p | tonumber",
        "def f(g): g; .p | f(fromjson)",
        "[.p | fromjson?] | length",
    ] {
        for text in [&deep, &hidden, &endless] {
            let begun = std::time::Instant::now();
            let ended = run(program, &format!("{{\"p\":\"{text}\"}}")).await;
            if program.contains('?') {
                assert_eq!(ended, Ok(Some("0".to_owned())));
            } else {
                let why = ended.unwrap_err().to_string();
                assert!(why.contains("nested beyond 128"), "{program}: {why}");
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        }
    }
    let many = format!("[{}[]]", "[],".repeat(500));
    let body = format!(r#"{{"p":"{many}","q":"[1,{{}}]","r":"7","s":"NaN","t":"1 2"}}"#);
    for (program, made) in [
        (".p | fromjson | length", "501"),
        (".q | fromjson", "[1,{}]"),
        (".r | tonumber + 1", "8"),
        (".s | fromjson | isnan", "true"),
        ("[.t | fromjson]", "[1,2]"),
        ("try (\"[1\" | fromjson) catch \"no\"", r#""no""#),
        ("try (\"x\" | tonumber) catch \"no\"", r#""no""#),
    ] {
        assert_eq!(run(program, &body).await, Ok(Some(made.to_owned())), "{program}");
    }
}
