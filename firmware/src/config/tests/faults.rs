//! What is wrong with a file is told, and costs as little as it can.

use proptest::prelude::*;

use super::*;

#[test]
fn a_fault_costs_its_own_line_and_no_more() {
    for (line, problem) in [
        (
            "ssid = My Wi-Fi",
            "pinhole.toml, line 12 (ssid): a text goes in quotes (\"), and a switch is true or false",
        ),
        (
            "ssid = \"My Wi-Fi",
            "pinhole.toml, line 12 (ssid): the closing quote is missing, or something stands behind it; a text with \" in it goes in single quotes (')",
        ),
        (
            "ssid = \"My \"Wi-Fi\"",
            "pinhole.toml, line 12 (ssid): the closing quote is missing, or something stands behind it; a text with \" in it goes in single quotes (')",
        ),
        (
            "ssid =",
            "pinhole.toml, line 12 (ssid): there is nothing behind the =",
        ),
        (
            "ssid = 5",
            "pinhole.toml, line 12 (ssid): is no text: put it in quotes (\")",
        ),
        (
            "ssid = \"\"",
            "pinhole.toml, line 12 (ssid): is empty: the name of the Wi-Fi network is needed",
        ),
        (
            "ssid = \"😀😀😀😀😀😀😀😀😀\"",
            "pinhole.toml, line 12 (ssid): has 36 bytes, and the name of a Wi-Fi network has at most 32",
        ),
        (
            "ssid = \"a\\horse\"",
            "pinhole.toml, line 12 (ssid): a backslash (\\) in a text needs a second one, or single quotes (') around the text",
        ),
    ] {
        let config = enrolled_with(
            &format!("[camera]\nwidth = 320\n{line}\n")
                .replace("[camera]\nwidth = 320\n", "[wifi]\ncountry = \"DE\"\n"),
            &[problem],
        );
        assert_eq!(config.wifi, None);
    }
    for (line, problem) in [
        (
            "width = 99999",
            "pinhole.toml, line 12 (width): out of range: choose from 16 to 4096",
        ),
        (
            "width = \"640\"",
            "pinhole.toml, line 12 (width): is no whole number: choose from 16 to 4096, without quotes",
        ),
        (
            "width = 640 px",
            "pinhole.toml, line 12 (width): neither a number nor a text: a text goes in quotes (\")",
        ),
        (
            "quality = 0",
            "pinhole.toml, line 12 (quality): out of range: choose from 1 to 100",
        ),
        (
            "qality = 3",
            "pinhole.toml, line 12 (qality): [camera] has no such key: did you mean quality?",
        ),
        (
            "device = \" \"",
            "pinhole.toml, line 12 (device): is empty: write a webcam's name, or leave the line out",
        ),
        (
            "warm = \"yes\"",
            "pinhole.toml, line 12 (warm): is a switch: write true or false, without quotes",
        ),
        (
            "ssid = \"x\"",
            "pinhole.toml, line 12 (ssid): [camera] has no such key: it belongs in [wifi]",
        ),
        (
            "height = 240",
            "pinhole.toml, line 12 (height): stands there twice: the first one counts",
        ),
        (
            "hello",
            "pinhole.toml, line 12: no setting: write KEY = VALUE, or put a # before a remark",
        ),
        (
            "\u{0}\u{1}\u{2}",
            "pinhole.toml, line 12: no setting: write KEY = VALUE, or put a # before a remark",
        ),
    ] {
        let config = enrolled_with(
            &format!("[camera]\nheight = 360\n{line}\nframes_per_second = 5\n"),
            &[problem],
        );
        let expected = CameraSettings {
            height: 360,
            frames_per_second: 5,
            ..CameraSettings::default()
        };
        assert_eq!(config.camera, expected);
    }
}

#[test]
fn a_fault_in_one_section_leaves_the_others() {
    for (more, problem) in [
        (
            "[wfi]\nssid = \"x\"\n",
            "pinhole.toml, line 10 ([wfi]): no such section: did you mean [wifi]?",
        ),
        (
            "[wifi]\npassword = \"12345678\"\ncountry = \"DE\"\n",
            "pinhole.toml, line 10 ([wifi]): ssid is missing: add the name of the Wi-Fi network, ssid = \"…\"",
        ),
        (
            "[wifi]\nssid = \"x\"\n",
            "pinhole.toml, line 10 ([wifi]): country is missing: add the two letters of the country, such as country = \"DE\", for the channels that are allowed there",
        ),
        (
            "[wifi]\nssid = \"x\"\ncountry = \"UK\"\n",
            "pinhole.toml, line 12 (country): is no country's code: the United Kingdom's is \"GB\"",
        ),
        (
            "[wifi]\nssid = \"x\"\ncountry = \"DE\"\npassword = \"1234567\"\n",
            "pinhole.toml, line 13 (password): has 7 characters, and a Wi-Fi password has 8 to 63; leave it out for an open network",
        ),
        (
            "[wifi]\nssid = \"x\"\ncountry = \"DE\"\npassword = 12345678\n",
            "pinhole.toml, line 13 (password): is no text: put it in quotes (\")",
        ),
        (
            "[ethernet]\naddress = \"10.0.0.5\"\n",
            "pinhole.toml, line 11 (address): is not ADDRESS/PREFIX: expected an address and the length of its network, such as \"192.168.1.20/24\"",
        ),
        (
            "[ethernet]\naddress = \"10.0.0.5/24\"\ngateway = \"10.0.1.1\"\n",
            "pinhole.toml, line 10 ([ethernet]): gateway 10.0.1.1 is not in the network of any \"address\" here: correct one of them",
        ),
        (
            "[time]\nservers = [\n  \"a\",\n  \"b\"\n",
            "pinhole.toml, line 11 (servers): the list is not closed: write it as [\"ONE\", \"TWO\"]",
        ),
        (
            "[time]\nservers = \"what is it\"\n",
            "pinhole.toml, line 11 (servers): holds something that is no host's name or address, such as \"ntp.example.org\"",
        ),
        (
            "[box]\nled = off\n",
            "pinhole.toml, line 11 (led): a text goes in quotes (\"), and a switch is true or false",
        ),
        (
            "[box]\nled = \"false\"\n",
            "pinhole.toml, line 11 (led): is a switch: write true or false, without quotes",
        ),
        (
            "[enrolment]\ncamera = \"x\"\n",
            "pinhole.toml, line 10 ([enrolment]): this section is there twice: the first one counts",
        ),
        (
            "[camera]\nwidth = 320\n[camera]\nwidth = 640\n",
            "pinhole.toml, line 12 ([camera]): this section is there twice: the first one counts",
        ),
    ] {
        enrolled_with(more, &[problem]);
        // Before the enrolment it does no more harm.
        let config = Config::parse(format!("{more}{ENROLMENT}").as_bytes());
        assert_eq!(
            config.enrolment.is_some(),
            !more.starts_with("[enrolment]"),
            "{more}"
        );
    }
}

#[test]
fn an_enrolment_that_is_wrong_is_told() {
    const NOT_ENROLLED: &str = "pinhole.toml: no usable [enrolment] section: run `pinhole-relay camera add NAME` on the relay and copy the file that it writes into it";
    let with = |from: &str, to: &str| ENROLMENT.replacen(from, to, 1).into_bytes();
    assert_eq!(problems(""), [NOT_ENROLLED]);
    for (text, line) in [
        (
            with("[enrolment]\n", ""),
            "pinhole.toml, line 1 (camera): stands above the first section: put it below the line [section] that it belongs to",
        ),
        (
            with("\"porch\"", "\"porch"),
            "pinhole.toml, line 2 (camera): the closing quote is missing, or something stands behind it; a text with \" in it goes in single quotes (')",
        ),
        (
            with("private_key = \"dwdt", "private_key = \"dwd"),
            "pinhole.toml, line 3 (private_key): not a WireGuard key: expected 44 base64 characters that end in \"=\"",
        ),
        (
            with("porch", "Front Porch"),
            "pinhole.toml, line 2 (camera): \"Front Porch\" is not a camera name: use 1 to 63 of a-z, 0-9 and \"-\", with a letter or a digit at both ends",
        ),
        (
            with(":51820", ""),
            "pinhole.toml, line 7 (endpoint): \"relay.example.org\" is not HOST:PORT: expected a name or an address and a UDP port, such as \"relay.example.org:51820\" or \"[2001:db8::1]:51820\"",
        ),
        (
            with("fd5a:17c2:9e04:3b61::1", "ff02::1"),
            "pinhole.toml, line 9 (address): ff02::1 is no tunnel address: expected a unique local IPv6 address, fd00::/8, whose last 64 bits are not all zero, as `pinhole-relay camera add` writes it",
        ),
        (
            with("3b61::2", "3b61::1"),
            "pinhole.toml, line 1 ([enrolment]): fd5a:17c2:9e04:3b61::1 is both the box's address and the relay's: copy both as `pinhole-relay camera add` wrote them",
        ),
        (
            with("endpoint = ", "end_point = "),
            "pinhole.toml, line 6 ([enrolment.relay]): missing field `endpoint`",
        ),
        (
            with("porch", "p\u{E9}")
                .iter()
                .map(|byte| if *byte == 0xC3 { 0xE9 } else { *byte })
                .collect(),
            "pinhole.toml, line 2 (camera): a letter that is not UTF-8: save the file as UTF-8",
        ),
        (
            vec![b'#'; 1 << 20],
            "pinhole.toml: larger than 64 KiB, so it is no pinhole.toml: copy the file that `pinhole-relay camera add` wrote",
        ),
    ] {
        let problems = problems(text);
        assert_eq!(problems[0], line);
        assert_eq!(problems.last().unwrap(), NOT_ENROLLED);
    }
}

#[test]
fn letters_of_an_old_code_page_cost_their_line() {
    let mut text = format!("{ENROLMENT}# caf").into_bytes();
    text.extend(b"\xE9\n[wifi]\ncountry = \"FR\"\nssid = \"caf\xE9\"\n[box]\nled = false\n");
    let config = Config::parse(&text);
    assert!(config.enrolment.is_some() && !config.machine.led);
    assert_eq!(
        config.problems[0].to_string(),
        "pinhole.toml, line 13 (ssid): a letter that is not UTF-8: save the file as UTF-8"
    );
}

#[test]
fn no_secret_is_ever_repeated() {
    const SECRETS: [&str; 2] = [
        "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=",
        "correct horse",
    ];
    let text = format!("{ENROLMENT}{WIFI}");
    for (from, to) in [
        ("private_key = ", "private_key "),
        ("private_key = ", ""),
        ("private_key = ", "camera = "),
        ("private_key = \"", "private_key = "),
        (
            "[enrolment]",
            "[dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=]",
        ),
        ("password = ", "password "),
        ("password = \"", "password = "),
        ("password = \"correct horse\"", "\"correct horse\" = 5"),
        ("password = \"correct", "password = \"\ncorrect"),
        ("ssid = ", "password = "),
    ] {
        let config = Config::parse(text.replace(from, to).as_bytes());
        let shown = format!("{:?}", config.problems);
        for secret in SECRETS {
            assert!(!shown.contains(&secret[..10]), "{from} {to}: {shown}");
        }
        assert!(
            !config
                .problems
                .iter()
                .any(|problem| problem.to_string().contains('\n'))
        );
    }
}

#[test]
fn junk_is_a_few_lines_and_takes_no_time() {
    for junk in [
        "[wifi]\n[[[[".repeat(5000),
        "[box]\n".to_owned() + &"x = [".repeat(10_000),
        "[time]\n".to_owned() + &"a\n".repeat(30_000),
        "[wifi]\nssid = \"\"\"\n".repeat(3000),
    ] {
        let problems = problems(&junk);
        assert!(
            !problems.is_empty() && problems.len() <= MAX_PROBLEMS + 2,
            "{problems:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut config = Config::parse(&bytes);
        config.problems.retain(|problem| problem.to_string().contains("report it"));
        prop_assert_eq!(config.problems, []);
    }

    #[test]
    fn no_text_makes_it_panic_or_takes_the_enrolment_away(more in "(\\[(wifi|box|x)\\]?\n)?([a-z]{0,9} ?=? ?[\"'“\\[{]?[a-zé😀]{0,5}[\"'\\]}#\\\\]?\n){0,9}") {
        let config = Config::parse(format!("{ENROLMENT}[wifi]\n{more}").as_bytes());
        prop_assert!(config.enrolment.is_some());
        let config = Config::parse(format!("{more}{ENROLMENT}").as_bytes());
        prop_assert!(config.enrolment.is_some());
    }
}
