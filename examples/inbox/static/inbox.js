"use strict";
// Asks for what is new each second. Whatever comes is put in as text, never as HTML; mails are shown in frames that may
// do nothing.

const EVERY_MS = 1000;
const KEPT = 500;
let seen = 0;
let started = null;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function link(address, text, className) {
  if (!/^https?:\/\//i.test(address)) return element("span", className, text);
  const made = element("a", className, text);
  made.href = address;
  made.target = "_blank";
  made.rel = "noopener noreferrer";
  return made;
}

function time(seconds) {
  const made = element("time", "", new Date(seconds * 1000).toLocaleTimeString());
  made.dateTime = new Date(seconds * 1000).toISOString();
  made.title = new Date(seconds * 1000).toLocaleString();
  return made;
}

function pairs(rows) {
  const list = element("dl");
  for (const [name, value] of rows) list.append(element("dt", "", name), element("dd", "", value));
  return list;
}

const TAGS = { text: "span", bold: "b", italic: "i", code: "code", mention: "mark" };

function pieces(parts) {
  const text = element("div", "text");
  for (const [kind, ...rest] of parts) {
    text.append(kind === "link" ? link(rest[0], rest[1]) : element(TAGS[kind], "", rest[0]));
  }
  return text;
}

function slackMessage(message) {
  const card = element("article", "card");
  const head = element("p", "from");
  head.append(element("b", "", "Alertmanager"), element("span", "app", "APP"), time(message.at));
  card.append(head);
  for (const attachment of message.attachments) {
    const box = element("div", "attachment");
    box.style.setProperty("border-left-color", attachment.color);
    if (attachment.title) {
      const title = element("p", "title");
      title.append(link(attachment.title_link || "", attachment.title));
      box.append(title);
    }
    box.append(pieces(attachment.text));
    if (attachment.fields && attachment.fields.length) box.append(pairs(attachment.fields));
    if (attachment.footer) box.append(element("p", "footer", attachment.footer));
    card.append(box);
  }
  return card;
}

function incidentCard(incident) {
  const card = element("article", "card incident " + (incident.state === "resolved" ? "over" : "open"));
  const head = element("p", "from");
  head.append(
    element("span", "state " + incident.state, incident.state.toUpperCase()),
    element("span", "severity " + incident.severity, incident.severity),
    time(incident.changed),
  );
  card.append(head, element("p", "title", incident.summary), pairs(incident.facts));
  if (incident.details.length) {
    const more = element("details");
    more.append(element("summary", "", "Details"), pairs(incident.details));
    card.append(more);
  }
  const links = element("p", "links");
  for (const [address, text] of incident.links) links.append(link(address, text));
  card.append(links);
  return card;
}

function mailCard(mail) {
  const card = element("details", "card mail");
  const line = element("summary");
  line.append(element("span", "subject", mail.subject || "(no subject)"), time(mail.at));
  card.append(line, pairs([["From", mail.from], ["To", mail.to]]));
  card.addEventListener("toggle", () => {
    if (!card.open || card.querySelector("iframe")) return;
    const frame = element("iframe");
    frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
    frame.title = "Mail";
    frame.src = "/mails/" + mail.number;
    card.append(frame);
  });
  return card;
}

// New ones come first; what changed moves up. Those that were open stay open.
function show(place, key, number, card) {
  const box = document.getElementById(place);
  const empty = box.querySelector(".empty");
  if (empty) empty.remove();
  card.dataset.key = key;
  card.dataset.number = number;
  const old = box.querySelector('[data-key="' + CSS.escape(key) + '"]');
  if (old) {
    const opened = old.querySelector("details[open]");
    const details = card.querySelector("details");
    if (opened && details) details.open = true;
    old.remove();
  }
  box.prepend(card);
  while (box.childElementCount > KEPT) box.lastElementChild.remove();
}

function forget(oldest) {
  for (const card of document.querySelectorAll("[data-number]")) {
    if (Number(card.dataset.number) < oldest) card.remove();
  }
}

function count() {
  const text = (place) => String(document.querySelectorAll("#" + place + " > .card").length);
  document.getElementById("slack-count").textContent = text("slack");
  document.getElementById("mail-count").textContent = text("mail");
  const open = document.querySelectorAll("#pagerduty > .open").length;
  document.getElementById("pagerduty-count").textContent = open + " open";
  document.title = open ? "(" + open + ") Inbox" : "Inbox";
}

function watchdog(heartbeat) {
  if (heartbeat === null) return;
  const place = document.getElementById("watchdog");
  const age = Math.max(0, Math.round(Date.now() / 1000 - heartbeat));
  place.textContent = "Watchdog: heard " + age + " s ago";
  place.className = "pill " + (age > 180 ? "bad" : "good");
}

async function ask() {
  const connection = document.getElementById("connection");
  try {
    const response = await fetch("/messages?seen=" + seen, { cache: "no-store" });
    if (!response.ok) throw new Error(String(response.status));
    const news = await response.json();
    if (started !== null && news.started !== started) {
      location.reload();
      return;
    }
    started = news.started;
    for (const message of news.slack) show("slack", "s" + message.number, message.number, slackMessage(message));
    for (const incident of news.pagerduty) show("pagerduty", "i" + incident.id, incident.number, incidentCard(incident));
    for (const mail of news.mail) show("mail", "m" + mail.number, mail.number, mailCard(mail));
    seen = news.newest;
    forget(news.oldest);
    watchdog(news.heartbeat);
    count();
    connection.hidden = true;
  } catch (error) {
    connection.hidden = false;
  }
  setTimeout(ask, EVERY_MS);
}

ask();
