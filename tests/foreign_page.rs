//! A page of another origin, in a browser that also has the live page open: it must learn nothing, and do nothing.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use serde_json::json;
use support::browser::Browser;
use support::serving::Serving;
use support::site;
use support::visit::enter;

/// What the page tries. Each promise resolves to what it came to know.
const TRIES: &str = "
    const attempt = tried => tried().catch(() => 'refused');
    const heard = (source, event) => new Promise(resolve => {
        source.addEventListener(event, () => resolve('heard'));
        source.addEventListener('error', () => resolve('refused'));
        source.addEventListener('close', () => resolve('refused'));
    });
    const fetched = (path, options) => attempt(async () => {
        const answer = await fetch(live + path, options);
        return `${answer.status} ${await answer.text()}`.trim();
    });
    const start = '/api/record/start';
    window.tries = Promise.all(Object.entries({
        socket: heard(new WebSocket(live.replace('http', 'ws') + '/ws', ['vultus']), 'open'),
        bareSocket: heard(new WebSocket(live.replace('http', 'ws') + '/ws'), 'open'),
        events: heard(new EventSource(live + '/api/results'), 'message'),
        state: fetched('/api/state'),
        blindState: fetched('/api/state', {mode: 'no-cors'}),
        metrics: fetched('/metrics'),
        record: fetched(start, {method: 'POST'}),
        blindRecord: fetched(start, {method: 'POST', mode: 'no-cors'}),
        beacon: attempt(async () => { navigator.sendBeacon(live + start); return 'sent'; }),
        module: attempt(async () => { await import(live + '/main.js'); return 'run'; }),
        form: attempt(async () => {
            const form = document.body.appendChild(document.createElement('form'));
            Object.assign(form, {method: 'post', action: live + start, target: 'sink'});
            form.submit();
            return 'sent';
        }),
    }).map(async ([name, outcome]) => [name, await outcome])).then(Object.fromEntries);
";

#[test]
fn a_foreign_page_learns_nothing_and_records_nothing() {
    let Some(page) = Browser::open() else { return };
    let serving = Serving::start();
    enter(&page, &serving.url());
    let live = format!("http://{}", serving.address);
    let foreign = site::serve(format!(
        "<!doctype html><iframe name=sink></iframe><iframe id=frame src='{live}/'></iframe>\
         <script>const live = '{live}';{TRIES}</script>"
    ));
    page.goto(&format!("http://{foreign}/"));
    let expected = json!({
        "socket": "refused", "bareSocket": "refused", "events": "refused",
        "state": "refused", "metrics": "refused", "record": "refused", "module": "refused",
        // Every answer forbids other origins to have it, even unread.
        "blindState": "refused", "blindRecord": "refused",
        // Of these the browser tells nothing but that they were sent.
        "beacon": "sent", "form": "sent",
    });
    assert_eq!(page.eval("window.tries"), expected);
    let console = page.console();
    let is_said = |what: &str| console.iter().any(|said| said.is_complaint() && said.text.contains(what));
    assert!(is_said("frame-ancestors"), "the page lets itself be framed: {console:#?}");
    assert!(is_said("/ws"), "{console:#?}");

    // The same requests from the page itself do something: so it was not for another reason that they failed.
    assert_eq!(serving.state()["recording"]["state"], "off");
    assert!(serving.recordings().is_empty(), "{:?}", serving.recordings());
    page.goto(&serving.url());
    assert_eq!(page.eval("fetch('/api/record/start', {method: 'POST'}).then(answer => answer.status)"), 200);
}

#[test]
fn a_foreign_name_for_this_machine_is_no_way_in() {
    let Some(page) = Browser::open() else { return };
    let serving = Serving::start();
    // The browser takes this name for a machine elsewhere, and it leads here: so does a name whose owner changes it.
    page.goto(&format!("http://rebound.example:{}/", serving.address.port()));
    assert_eq!(page.eval("document.querySelectorAll('#notice, .view').length"), 0);
    let status = page.eval("fetch('/api/state').then(answer => answer.status)");
    assert!(status == 403 || status == 421, "{status}");
    assert_eq!(page.eval("fetch('/api/record/start', {method: 'POST'}).then(answer => answer.status)"), status);
    assert_eq!(serving.state()["recording"]["state"], "off");
}
