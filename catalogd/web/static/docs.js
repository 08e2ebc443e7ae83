"use strict";
// Adds a form to each call. Whatever comes from a server is shown by textContent only, never as markup.
(() => {
  const credentials = document.querySelector("form.credentials");
  credentials.hidden = false;
  credentials.addEventListener("submit", (event) => event.preventDefault());

  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  const field = (row) => {
    const { name, options } = row.dataset;
    const required = "required" in row.dataset;
    if (options) {
      const choices = ["", ...options.split(" ")].map((value) => make("option", { value }, value));
      return make("label", {}, name, make("select", { name, required }, ...choices));
    }
    return make("label", {}, required ? `${name} *` : name, make("input", { name, required, autocomplete: "off", spellcheck: false }));
  };

  const target = (article, form) => {
    let path = article.dataset.path;
    const query = new URLSearchParams();
    const headers = {};
    for (const row of article.querySelectorAll("tr[data-name]")) {
      const { name, in: place } = row.dataset;
      const value = form.elements.namedItem(name).value;
      if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(value));
      else if (value && place === "query") query.append(name, value);
      else if (value) headers[name] = value;
    }
    const base = document.body.dataset.server.replace(/\/$/, "");
    return [base + path + (query.size ? `?${query}` : ""), headers];
  };

  const show = async (response) => {
    const isImage = (response.headers.get("Content-Type") || "").startsWith("image/");
    const text = isImage ? `(${(await response.blob()).size} bytes of an image)` : await response.text();
    let body = text;
    try { body = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: as it came */ }
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    return `${response.status} ${response.statusText}\n${headers}\n\n${body}`;
  };

  const submit = async (article, form, output) => {
    const [url, headers] = target(article, form);
    const token = credentials.elements.token.value.trim();
    if (token) headers.Authorization = `Token ${token}`;
    const options = { method: article.dataset.method, headers, credentials: "omit", cache: "no-store" };
    const body = form.elements.namedItem("body");
    if (body) {
      options.body = body.value;
      headers["Content-Type"] = article.querySelector("pre[data-type]").dataset.type;
    }
    output.textContent = `${options.method} ${url} ...`;
    try {
      output.textContent = `${options.method} ${url}\n\n${await show(await fetch(url, options))}`;
    } catch (error) {
      output.textContent = `${options.method} ${url}\n\n${error}`;
    }
  };

  for (const article of document.querySelectorAll("article")) {
    const output = make("pre", { hidden: true, tabIndex: 0 });
    output.setAttribute("aria-live", "polite");
    const form = make("form", {}, ...[...article.querySelectorAll("tr[data-name]")].map(field));
    const example = article.querySelector("pre[data-example]");
    if (example) form.append(make("label", {}, "body", make("textarea", { name: "body", value: example.textContent })));
    form.append(make("button", { type: "submit" }, `Send ${article.dataset.method}`));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      output.hidden = false;
      submit(article, form, output);
    });
    article.append(make("details", { className: "try" }, make("summary", {}, "Try it"), form, output));
  }
})();
