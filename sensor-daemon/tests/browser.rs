//! The page of `explain` in a real browser: that it is readable in each place where somebody may look at it, and that nothing in
//! it runs or is fetched, whatever the taken-over processes are called.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use common::{hostile, reports};
use sensor_daemon::{
    explain::{Story, html},
    model::Text,
};
use serde_json::{Value, json};

const DRIVER: &str = "/usr/bin/chromedriver";
/// Of the least contrast that text has to have with its background (WCAG 2.2, level AA).
const CONTRAST_MIN: f64 = 4.5;

const MARKUP: &str = "</title></style></svg><script>document.body.innerHTML = ''</script><img src=x onerror=alert(1)>";

/// What a page is asked in its browser. Colours are compared as WCAG does it; a background is the nearest that is not transparent.
const LOOK: &str = r"
const luminance = ([r, g, b]) => {
    const part = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const parse = text => (text.match(/[\d.]+/g) || []).map(Number);
const behind = element => {
    for (; element; element = element.parentElement) {
        const colour = parse(getComputedStyle(element).backgroundColor);
        if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
};
const faint = [];
for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || element.closest('svg')) continue;
    const [text, back] = [parse(getComputedStyle(element).color), behind(element)].map(luminance);
    const contrast = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
    if (contrast < arguments[0]) faint.push(`${contrast.toFixed(1)}: ${element.textContent.slice(0, 40)}`);
}
const cut = [...document.querySelectorAll('svg text')].filter(text => {
    const [inner, outer] = [text.getBoundingClientRect(), text.closest('svg').getBoundingClientRect()];
    return inner.left < outer.left - 1 || inner.right > outer.right + 1;
}).map(text => text.textContent);
return {
    title: document.title,
    text: document.body.innerText,
    wide: document.documentElement.scrollWidth - innerWidth,
    scripts: document.scripts.length,
    images: document.images.length,
    handlers: [...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => /^on/i.test(a.name))).length,
    fetched: performance.getEntriesByType('resource').map(entry => entry.name),
    background: getComputedStyle(document.documentElement).backgroundColor + getComputedStyle(document.body).backgroundColor,
    faint, cut,
};";

/// A browser, driven over the WebDriver protocol (W3C).
struct Browser {
    http: ureq::Agent,
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    fn start() -> Self {
        assert!(
            fs::exists(DRIVER).unwrap(),
            "chromium-driver is not installed: run cargo xtask setup --tests"
        );
        let mut driver = Command::new(DRIVER)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        // It goes on to write there.
        std::thread::spawn(move || lines.for_each(drop));
        let http = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .proxy(None);
        let mut browser = Self {
            http: http.build().into(),
            driver,
            port: port.expect("the driver says its port"),
            session: String::new(),
        };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let session = browser.ask("/session", &wanted);
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    /// Asks the driver; the value of its answer.
    fn ask(&self, path: &str, body: &Value) -> Value {
        let mut answer = self
            .http
            .post(format!("http://127.0.0.1:{}{path}", self.port))
            .content_type("application/json")
            .send(body.to_string())
            .unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        assert!(answer.status().is_success(), "{path}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer["value"].clone()
    }

    fn command(&self, name: &str, body: &Value) -> Value {
        self.ask(&format!("/session/{}/{name}", self.session), body)
    }

    /// A page as it looks in a window so wide, in these colours.
    fn look(&self, page: &std::path::Path, width: u32, scheme: &str) -> Value {
        self.command(
            "goog/cdp/execute",
            &json!({"cmd": "Emulation.setDeviceMetricsOverride",
                "params": {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false}}),
        );
        self.command(
            "goog/cdp/execute",
            &json!({"cmd": "Emulation.setEmulatedMedia",
                "params": {"features": [{"name": "prefers-color-scheme", "value": scheme}]}}),
        );
        self.command("url", &json!({"url": format!("file://{}", page.display())}));
        self.command("execute/sync", &json!({"script": LOOK, "args": [CONTRAST_MIN]}))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends the browser.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.driver),
            rustix::process::Signal::TERM,
        );
        let _ = self.driver.wait();
    }
}

#[test]
fn the_page_is_readable_everywhere_and_nothing_in_it_lives() {
    let browser = Browser::start();
    let directory = tempfile::tempdir().unwrap();
    let mut told = reports();
    told.push(hostile());
    let mut marked = hostile();
    marked.id = "f".repeat(32);
    marked.incident.shell.argv.insert(1, Text::from(MARKUP));
    marked
        .incident
        .commands
        .iter_mut()
        .for_each(|command| command.argv.push(Text::from(MARKUP)));
    told.push(marked);
    for (number, report) in told.iter().enumerate() {
        let page = directory.path().join(format!("{number}.html"));
        fs::write(&page, html(&Story::new(report, &told))).unwrap();
        let mut backgrounds = Vec::new();
        for (width, scheme) in [(1200, "light"), (1200, "dark"), (380, "light"), (380, "dark")] {
            let seen = browser.look(&page, width, scheme);
            let what = format!("{} at {width} in {scheme}: {seen}", report.id);
            assert!(seen["text"].as_str().unwrap().contains(&report.id[..8]), "{what}");
            assert_eq!(
                seen["wide"].as_i64().unwrap().max(0),
                0,
                "wider than the window: {what}"
            );
            for none in ["scripts", "images", "handlers"] {
                assert_eq!(seen[none], 0, "{none}: {what}");
            }
            for none in ["fetched", "faint", "cut"] {
                assert_eq!(seen[none], json!([]), "{none}: {what}");
            }
            if width == 1200 {
                backgrounds.push(seen["background"].clone());
            }
        }
        assert_ne!(backgrounds[0], backgrounds[1], "dark is as light is");
    }
}
