#!/usr/bin/env python3
"""The page in a real headless Chromium: a chat that streams, samples side by side, probabilities on hover, a stop,
an error that is told, the engine's live view, both colours; no request leaves the server.

SHOTS=FOLDER keeps pictures of it.
"""
import json
import os
import shutil
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serving import Server, check, finish, needs

needs("selenium")
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

URL = None
SHOTS = os.environ.get("SHOTS")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def browser():
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,800", "--disable-dev-shm-usage",
                     "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"):
        options.add_argument(argument)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


def wait(driver, condition, seconds=30, what=""):
    return WebDriverWait(driver, seconds, poll_frequency=0.05).until(condition, what)


def text_of(driver, css):
    return [element.text for element in driver.find_elements(By.CSS_SELECTOR, css)]


def set_field(driver, name, value):
    driver.execute_script(
        "const f = document.querySelector(`aside [name=${arguments[0]}]`);"
        "if (f.type === 'checkbox') f.checked = arguments[1]; else f.value = arguments[1];"
        "f.dispatchEvent(new Event('input'));", name, value)


def ask(driver, question):
    box = driver.find_element(By.ID, "question")
    box.send_keys(question)
    box.send_keys(Keys.ENTER)


def idle(driver):
    return driver.find_element(By.ID, "send").is_displayed()


def shot(driver, name):
    if SHOTS:
        driver.save_screenshot(os.path.join(SHOTS, name))


def test_answers_as_the_api_does(driver):
    set_field(driver, "temperature", "0")
    ask(driver, "What is the capital of France?")
    wait(driver, idle, what="the answer ends")
    assert text_of(driver, ".sample .text") == ["The capital of France is Paris."], text_of(driver, ".sample .text")
    facts = text_of(driver, ".facts")[0]
    assert "stop" in facts and "tokens/s" in facts, facts


def test_probabilities_on_hover(driver):
    token = driver.find_elements(By.CSS_SELECTOR, ".sample .text span")[0]
    ActionChains(driver).move_to_element(token).perform()
    hint = driver.find_element(By.ID, "hint")
    wait(driver, lambda d: hint.is_displayed(), what="the hint")
    assert "%" in hint.text and "The" in hint.text, hint.text
    set_field(driver, "colours", True)
    shot(driver, "page-chat.png")


def test_samples_side_by_side(driver):
    set_field(driver, "temperature", "1")
    set_field(driver, "n", "3")
    set_field(driver, "max_tokens", "60")
    ask(driver, "Tell me a story about a fox.")
    wait(driver, lambda d: len(d.find_elements(By.CSS_SELECTOR, ".turn:last-child .sample")) == 3, what="three samples")
    wait(driver, idle, what="the answers end")
    samples = text_of(driver, ".turn:last-child .sample .text")
    assert len(set(samples)) > 1 and all(samples), samples
    left = [e.rect["x"] for e in driver.find_elements(By.CSS_SELECTOR, ".turn:last-child .sample")]
    assert len(set(left)) == 3, left
    driver.find_elements(By.CSS_SELECTOR, ".turn:last-child .sample")[1].click()
    assert "chosen" in driver.find_elements(By.CSS_SELECTOR, ".turn:last-child .sample")[1].get_attribute("class")
    shot(driver, "page-samples.png")


# What lies where the stop button is gets a click with the first token, from within the page: a click from here could come
# after the end of the answer.
STOP_AT_FIRST_TOKEN = """
new MutationObserver((changes, watch) => {
  if (!document.querySelector(".turn:last-child .text span"))
    return;
  watch.disconnect();
  const at = document.getElementById("stop").getBoundingClientRect();
  document.elementFromPoint(at.x + at.width / 2, at.y + at.height / 2).click();
}).observe(document.getElementById("messages"), { childList: true, subtree: true });"""


def test_stop(driver):
    set_field(driver, "temperature", "2")       # eight samples of this heat go on for seconds
    set_field(driver, "n", "8")
    set_field(driver, "max_tokens", "700")
    driver.execute_script(STOP_AT_FIRST_TOKEN)
    ask(driver, "Tell me a very long story.")
    wait(driver, lambda d: "stopped" in text_of(d, ".turn:last-child .facts"), what="the answer is told to be stopped")
    assert idle(driver)
    wait(driver, lambda d: running() == 0, what="the engine stopped as well")
    set_field(driver, "temperature", "1")
    set_field(driver, "n", "1")


def running():
    with urllib.request.urlopen(f"{URL}/ridge/state") as response:
        return json.load(response)["requests"]["running"]


def test_errors_are_told(driver):
    set_field(driver, "max_tokens", "0")
    ask(driver, "Hello")
    wait(driver, lambda d: text_of(d, ".error"), what="an error")
    assert "max_tokens" in text_of(driver, ".error")[0]
    set_field(driver, "max_tokens", "200")


def keep_busy(stop):
    body = {"messages": [{"role": "user", "content": "Tell me a long story about a lighthouse and its keeper."}], "n": 4,
            "max_tokens": 400, "temperature": 1, "ignore_eos": True}
    while not stop.is_set():
        request = urllib.request.Request(f"{URL}/v1/chat/completions", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        urllib.request.urlopen(request).read()


def test_the_engine_at_work(driver):
    stop = threading.Event()
    workers = [threading.Thread(target=keep_busy, args=(stop,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        driver.find_element(By.ID, "tab-live").click()
        wait(driver, lambda d: len(d.find_elements(By.CSS_SELECTOR, "#sequences tr")) >= 4, what="running sequences")
        time.sleep(4)
        assert "held" in driver.find_element(By.ID, "blocks-text").text
        drawn = driver.execute_script(
            "return ['#blocks canvas', '#chart-rate', '#chart-ttft'].map(css => {"
            "const c = document.querySelector(css), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "return new Set(new Uint32Array(d.buffer)).size; })")
        assert all(colours > 2 for colours in drawn), drawn
        pictures = driver.execute_script(
            "return ['roof', 'batches'].map(id => document.querySelectorAll(`#picture-${id} circle.measured`).length)")
        assert pictures[0] >= 1 and pictures[1] == 1, pictures
        assert "decode" in driver.find_element(By.ID, "verdicts").text
        assert "all decode" in driver.find_element(By.ID, "picture-letters").text
        shot(driver, "page-engine.png")
        assert driver.find_element(By.ID, "picture-roof").location_once_scrolled_into_view
        shot(driver, "page-limits.png")
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def test_dark(driver):
    before = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    driver.execute_script("document.documentElement.dataset.theme = 'dark'")
    assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") != before
    driver.find_element(By.ID, "tab-chat").click()
    shot(driver, "page-dark.png")


def test_nothing_from_elsewhere(driver):
    asked = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"}
    assert urls and all(url.startswith(URL) or url.startswith("data:") for url in urls), urls
    severe = [e for e in driver.get_log("browser") if e["level"] == "SEVERE" and "400" not in e["message"]]
    assert not severe, severe


def run():
    global URL
    with Server() as server:
        URL = server.url
        driver = browser()
        try:
            driver.get(URL + "/")
            for name, test in list(globals().items()):
                if name.startswith("test_"):
                    try:
                        test(driver)
                        check(name, True)
                    except Exception as error:      # told, and the next one runs
                        check(name, False, repr(error)[:500])
        finally:
            driver.quit()


if not CHROMIUM or not DRIVER:
    print("NOT TESTED: there is no Chromium here (apt-get install chromium chromium-driver)")
    sys.exit(0)
finish(run)
