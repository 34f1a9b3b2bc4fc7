//! The live page in a real browser, before the bundled take.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::browser::{Browser, ESCAPE};
use support::http;
use support::serving::Serving;
use support::visit::{
    assert_no_complaint, body, enter, flag, sets, shown, text, views, visit, visit_what, wait_for_pictures,
};

const CAMERAS: [&str; 4] = ["cam0", "cam1", "cam2", "cam3"];
const ANYTHING_SAID: [&str; 8] = ["angry", "disgusted", "afraid", "happy", "sad", "surprised", "neutral", "unsure"];

#[test]
fn nobody_is_shown_before_the_notice_is_read_and_it_is_shown_once() {
    let Some(page) = Browser::open() else { return };
    let serving = Serving::start();
    page.goto(&serving.url());
    page.wait_for("the notice is shown", "document.querySelector('dialog#notice').open");
    serving.wait_for_sets(30);
    assert!(views(&page).iter().all(|view| !view.has_picture()), "a picture is behind the notice");
    assert_eq!(page.eval("document.querySelectorAll('.person').length"), 0);
    // Escape closes a dialog (for a moment, as some browsers insist), but is no agreement.
    page.press(ESCAPE);
    page.wait_for("the notice is there again", "document.querySelector('dialog#notice').open");

    page.click("#notice-accept");
    wait_for_pictures(&page);
    assert_eq!(page.eval("document.querySelector('dialog#notice').open"), false);

    page.goto("about:blank");
    page.goto(&serving.url());
    wait_for_pictures(&page);
    assert_eq!(page.eval("document.querySelector('dialog#notice').open"), false);
    assert_no_complaint(&page, |_| false);
}

#[test]
fn every_camera_has_a_view_whose_picture_goes_on() {
    visit(|page, serving| {
        let first = views(page);
        assert_eq!(first.iter().map(|view| view.camera.as_str()).collect::<Vec<_>>(), CAMERAS);
        page.until("every picture changes", || {
            let now = views(page);
            first.iter().zip(&now).all(|(a, b)| b.has_picture() && a.print != b.print && a.set < b.set)
        });
        let newest = serving.analysed();
        page.until("the page is no more than a second behind", || {
            sets(page).iter().flatten().max().is_some_and(|set| set + 30 >= newest)
        });
        page.until("every view's camera is on", || views(page).iter().all(|view| view.state == "on"));
    });
}

#[test]
fn what_the_person_expresses_is_said_and_changes_with_the_take() {
    visit(|page, _| {
        let mut said = BTreeSet::new();
        page.until("three expressions are said", || {
            let person = page.eval(
                "(person => [person?.dataset.person, person?.dataset.expression, person?.textContent])
                 (document.querySelector('.person'))",
            );
            if let (Some(id), Some(expression), Some(words)) =
                (person[0].as_str(), person[1].as_str(), person[2].as_str())
            {
                assert!(id.parse::<u64>().is_ok(), "`{id}` is no person");
                assert!(ANYTHING_SAID.contains(&expression), "`{expression}` is no expression");
                assert!(words.to_lowercase().contains(expression), "`{expression}` is not in `{words}`");
                said.insert(expression.to_owned());
            }
            said.len() >= 3
        });
        assert_eq!(page.eval("document.querySelectorAll('.person').length"), 1);
    });
}

#[test]
fn boxes_are_drawn_where_the_shown_set_has_its_faces() {
    // How many of three points on a box's edge are drawn on, and how many of three beside it.
    const DRAWN: &str = "(({camera, box: [x, y, w, h]}) => {
        const marks = document.querySelector(`.view[data-camera='${camera}'] canvas + canvas`);
        const pen = new OffscreenCanvas(640, 360).getContext('2d', {willReadFrequently: true});
        pen.drawImage(marks, 0, 0, 640, 360);
        const isDrawn = ([x, y]) => pen.getImageData(x - 1, y - 1, 3, 3).data.some(value => value > 100);
        const [edge, beside] = [0, -9].map(inwards => [
            [x + inwards, y + 0.87 * h], [x + w - inwards, y + 0.87 * h], [x + 0.4 * w, y + h + inwards],
        ]);
        return [edge, beside].map(points => points.filter(isDrawn).length);
    })";
    visit(|page, serving| {
        let (_, lines) = http::stream(serving.address, "/api/results");
        let records = lines.filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok());
        let mut records = records.skip_while(|record| record["set"].is_null());
        let first = records.next().expect("a record")["set"].as_u64();
        page.until("a set is shown that we are told of", || sets(page)[0] > first);
        page.click("#pause");
        page.wait_for("it is paused", &flag("paused"));
        let set = sets(page)[0];
        let record = records.find(|record| record["set"].as_u64() >= set).expect("the set's record");
        assert_eq!(record["set"].as_u64(), set);
        let faces = record["views"].as_array().expect("views");
        assert!(!faces.is_empty());
        page.until("boxes are where the faces are", || {
            faces.iter().all(|face| page.eval(&format!("{DRAWN}({face})")) == json!([3, 0]))
        });
    });
}

#[test]
fn the_record_button_records_and_the_title_says_so() {
    visit(|page, serving| {
        let title = page.eval("document.title");
        page.wait_for("nothing is recorded", "document.body.dataset.recording === 'off'");
        page.click("#record");
        page.wait_for("it says that it records", "document.body.dataset.recording === 'on'");
        assert_ne!(page.eval("document.title"), title);
        let [file] = &serving.recordings()[..] else { panic!("not one file: {:?}", serving.recordings()) };
        let size = || std::fs::metadata(file).expect("it is there").len();
        let first = size();
        page.until("the file grows", || size() > first);

        page.click("#record");
        page.wait_for("it says that it stopped", "document.body.dataset.recording === 'off'");
        page.until("the title is the old one", || page.eval("document.title") == title);
        let take = std::fs::read(file).expect("readable");
        let magic = b"\x89MCAP0\r\n";
        assert!(take.starts_with(magic) && take.ends_with(magic), "the file is not whole");
        assert_eq!(serving.recordings().len(), 1);
    });
}

#[test]
fn a_recording_that_cannot_be_made_is_told() {
    let Some(page) = Browser::open() else { return };
    let serving = Serving::start();
    enter(&page, &serving.url());
    std::fs::write(serving.takes(), "not a folder").expect("written");
    page.click("#record");
    page.until("it says why", || text(&page).contains("takes"));
    assert_ne!(body(&page, "recording"), "on");
    // The browser itself says of every answer that it is an error.
    assert_no_complaint(&page, |said| said.text.contains("/api/record/start"));
}

#[test]
fn a_program_that_was_away_is_found_again() {
    let Some(page) = Browser::open() else { return };
    let serving = Serving::start();
    let listen = serving.address.to_string();
    enter(&page, &serving.url());
    let run = serving.state()["run"].clone();
    page.click("#pause");
    assert!(serving.stop().success());
    page.wait_for("it says that the program is gone", "document.body.dataset.connection !== 'open'");
    page.wait_for("it says that the program is lost", "document.body.dataset.connection === 'lost'");

    let serving = Serving::listen(&listen, &[]);
    assert_ne!(serving.state()["run"], run);
    page.wait_for("it is open again", "document.body.dataset.connection === 'open'");
    page.wait_for("what was paused is over", &format!("!{}", flag("paused")));
    let before = views(&page);
    page.until("the pictures go on", || {
        let after = views(&page);
        after.iter().zip(&before).all(|(a, b)| a.has_picture() && a.print != b.print)
    });
    // The browser itself says of every attempt that nobody answered.
    assert_no_complaint(&page, |said| said.text.contains("WebSocket connection to") || said.text.contains("net::ERR_"));
}

#[test]
fn what_is_paused_can_be_stepped_through() {
    visit(|page, serving| {
        let before = sets(page);
        page.until("there is something to go back to", || sets(page).iter().zip(&before).all(|(now, then)| now > then));
        page.click("#pause");
        page.wait_for("it is paused", &flag("paused"));
        let paused = shown(page);
        serving.wait_for_sets(30);
        assert_eq!(shown(page), paused, "it went on although paused");

        page.click("#step-forward");
        page.until("a step leads on", || shown(page).iter().zip(&paused).all(|(now, then)| now.0 > then.0));
        let next = shown(page);
        page.click("#step-back");
        page.until("a step back leads back", || shown(page) == paused);
        page.click("#step-forward");
        page.until("and on again", || shown(page) == next);

        page.click("#pause");
        page.wait_for("it goes on", &format!("!{}", flag("paused")));
        let newest = serving.analysed();
        page.until("the page is with the program again", || sets(page).iter().flatten().any(|&set| set >= newest));
    });
}

#[test]
fn the_keyboard_pauses_and_enlarges() {
    visit(|page, _| {
        page.press(" ");
        page.wait_for("it is paused", &flag("paused"));
        page.press(" ");
        page.wait_for("it goes on", &format!("!{}", flag("paused")));
        // A key that is held down is pressed once.
        page.eval(&held_down(" "));
        assert_eq!(page.eval(&flag("paused")), false);
        // The space bar presses the button that has the focus: after a click that must not be the one that was clicked.
        page.click("#record");
        page.wait_for("it records", "document.body.dataset.recording === 'on'");
        page.press(" ");
        page.wait_for("it is paused again", &flag("paused"));
        assert_eq!(body(page, "recording"), "on");
        page.click("#pause");
        page.wait_for("it goes on again", &format!("!{}", flag("paused")));
        page.press(" ");
        page.wait_for("it is paused for the third time", &flag("paused"));

        let width = || views(page)[0].width;
        let small = width();
        page.press("1");
        page.until("the first view is enlarged", || width() > 1.3 * small);
        page.press(ESCAPE);
        page.until("it is small again", || (width() - small).abs() < 1.0);
    });
}

#[test]
fn letters_are_no_commands_where_they_would_be_a_slip() {
    visit(|page, serving| {
        let quiet = |why: &str| {
            std::thread::sleep(std::time::Duration::from_millis(300));
            assert_eq!(serving.state()["recording"]["state"], "off", "{why}");
        };
        page.eval("document.querySelector('.view').focus()");
        page.press("r");
        quiet("a control has the focus");
        page.eval("document.activeElement.blur()");
        page.eval(&held_down("r"));
        quiet("the key is held down");

        page.press("?");
        page.wait_for("help is shown", "document.querySelector('#help-dialog').open");
        page.press("r");
        quiet("a dialog is open");
        page.click("#character-keys");
        page.press(ESCAPE);
        page.goto("about:blank");
        page.goto(&serving.url());
        wait_for_pictures(page);
        page.press("r");
        quiet("letters are turned off, for good");
        page.press(" ");
        page.wait_for("the space bar is no letter", &flag("paused"));
    });
}

#[test]
fn a_refusal_is_told_and_then_forgotten() {
    visit(|page, serving| {
        let line =
            || page.eval("document.querySelector('#recording').innerText").as_str().unwrap_or_default().to_owned();
        let answer = |body: &str| format!("window.fetch = async () => new Response('{body}', {{status: 500}})");
        page.press("r");
        page.wait_for("it says that it records", "document.body.dataset.recording === 'on'");
        page.eval(&answer(r#"{"error": "the disk is asleep"}"#));
        page.press("r");
        page.until("it says why it goes on", || line().contains("the disk is asleep"));
        assert_eq!(body(page, "recording"), "on");
        page.until("it does go on", || serving.state()["recording"]["state"] == "on");
        page.until("it has been said", || !line().contains("the disk is asleep"));
        assert!(!line().is_empty());
    });
}

#[test]
fn on_a_phone_nothing_reaches_beyond_the_edge() {
    visit(|page, _| {
        page.phone(390, 844);
        for scheme in ["light", "dark"] {
            page.prefer(scheme);
            page.until("the page follows the system", || body(page, "theme") == scheme);
            wait_for_pictures(page);
            let beyond = page.eval(
                "[...document.body.querySelectorAll('*')].filter(it => it.getBoundingClientRect().right > innerWidth + 0.5)
                    .map(it => it.cloneNode().outerHTML)",
            );
            let size = page.eval("(root => [root.clientWidth, root.scrollWidth])(document.documentElement)");
            assert_eq!(size, json!([390, 390]), "beyond the edge: {beyond:#}");
        }
    });
}

#[test]
fn the_theme_is_changed_by_hand_and_kept() {
    visit(|page, serving| {
        page.prefer("light");
        page.until("it is light", || body(page, "theme") == "light");
        page.click("#theme");
        page.until("it is dark", || body(page, "theme") == "dark");
        page.goto("about:blank");
        page.goto(&serving.url());
        wait_for_pictures(page);
        assert_eq!(body(page, "theme"), "dark");
    });
}

#[test]
fn a_token_opens_the_page_and_leaves_the_address_bar() {
    let Some(page) = Browser::open() else { return };
    let serving = Serving::listen("0.0.0.0:0", &[]);
    let token = serving.token.clone().expect("whoever is elsewhere needs a token");
    enter(&page, &serving.url());
    page.wait_for("the token is not in sight", "location.hash === ''");
    page.goto(&format!("http://{}/", serving.address));
    wait_for_pictures(&page);
    page.click("#record");
    page.wait_for("recording is allowed", "document.body.dataset.recording === 'on'");
    assert!(!page.eval("document.cookie + JSON.stringify(localStorage)").to_string().contains(&token));
    assert_no_complaint(&page, |_| false);

    page.eval("sessionStorage.clear()");
    for fragment in ["", "#token=0123456789abcdef"] {
        page.goto("about:blank");
        page.goto(&format!("http://{}/{fragment}", serving.address));
        page.wait_for("it is refused", "document.body.dataset.connection === 'refused'");
        assert!(text(&page).contains("token"), "it does not say what is needed: {}", text(&page));
        assert!(views(&page).iter().all(|view| !view.has_picture()));
    }
}

#[test]
fn a_page_in_the_background_asks_for_no_pictures() {
    visit(|page, serving| {
        let rate = || serving.state()["page"]["pictures_per_s"].as_f64().expect("a rate");
        page.until("pictures are sent", || rate() > 0.0);
        page.in_another_tab(|| page.until("none are sent", || rate() == 0.0));
        page.until("they are sent again", || rate() > 0.0);
    });
}

/// Whether somebody is happy, and every view has its say in it.
const HAPPY: &str = "(document.querySelector('.person[data-expression=happy]')
    ?.querySelectorAll('tbody tr').length === document.querySelectorAll('.view').length)";

#[test]
fn the_pictures_of_the_page_for_the_readme() {
    visit_what(Serving::with_rig, |page, serving| {
        page.wait_for(
            "there is space with a rig",
            "document.querySelector('#space').getBoundingClientRect().height > 0",
        );
        page.resize(1440, 1200);
        // The time line fills first: twenty seconds of a usual camera.
        for _ in 0..6 {
            serving.wait_for_sets(100);
        }
        let mut tries = 0;
        page.until("somebody is happy in every view", || {
            tries += 1;
            page.eval(HAPPY) == true && {
                page.click("#pause");
                page.wait_for("what is shown stands", "document.querySelector('#shown').innerText.includes('paused')");
                // A machine that has to hold pictures back does so for ever.
                let fits = page.eval("document.querySelector('#held-back').hidden") == true || tries > 100;
                let found = fits && views(page).iter().all(|view| view.whole) && page.eval(HAPPY) == true;
                if !found {
                    page.click("#pause");
                }
                found
            }
        });
        for scheme in ["light", "dark"] {
            page.prefer(scheme);
            page.until("the page follows the system", || body(page, "theme") == scheme);
            support::visit::keep(&format!("live-page-{scheme}.png"), &page.screenshot());
        }
    });
}

/// A press of a key as it is repeated while it is held down; the driver has no such.
fn held_down(key: &str) -> String {
    format!(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', repeat: true, bubbles: true, cancelable: true}}))"
    )
}
