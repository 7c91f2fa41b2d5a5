// What a page of another origin tries on ours; `target` is our address.  PNG, LETTER and OWN are
// put in by test_foreign_page.py.
async (target) => {
  const found = {}, api = target + "/singlelora/v1";
  const png = PNG, letter = LETTER, own = OWN;
  const json = { "content-type": "application/json" };
  const attempt = async (name, what) => {
    try {
      found[name] = await what();
    } catch (error) {
      found[name] = "refused";
    }
  };
  const get = (url, more) =>
    fetch(url, { credentials: "include", ...more }).then((answer) => answer.text());
  const blind = (url, more) =>
    fetch(url, { mode: "no-cors", credentials: "include", ...more }).then(() => "sent");
  const post = (body, headers) => ({ method: "POST", body, headers });
  const pages = {
    page: target + "/",
    config: target + "/config",
    list: api + "/workspaces",
    settings: api + "/workspaces/eileen",
    file: target + "/gradio_api/file=" + letter,
    own: target + "/gradio_api/file=" + own,
    api: target + "/gradio_api/info",
  };
  for (const [name, url] of Object.entries(pages)) {
    await attempt("read " + name, () => get(url));
    await attempt("read blindly " + name, () => blind(url));
  }
  const payload = JSON.stringify({ picture: png, trigger: "planted" });
  const patch = JSON.stringify({ "training.rank": 3 });
  await attempt("start with json", () => get(api + "/workspaces", post(payload, json)));
  await attempt("start blindly", () => blind(api + "/workspaces", post(payload)));
  await attempt("start blindly without a type",
    () => blind(api + "/workspaces", post(new Blob([payload]))));
  await attempt("change",
    () => get(api + "/workspaces/eileen", { method: "PATCH", body: patch, headers: json }));
  await attempt("queue", () => blind(api + "/workspaces/eileen/jobs", post("{}")));
  await attempt("beacon",
    async () =>
      navigator.sendBeacon(api + "/workspaces", new Blob([payload], { type: "text/plain" })));
  const form = new FormData();
  form.append("files", new Blob(["<script>1</script>"], { type: "text/html" }),
    "planted.html");
  await attempt("upload", () => blind(target + "/gradio_api/upload", post(form)));
  await attempt("upload and read", () => get(target + "/gradio_api/upload", post(form)));
  const call = JSON.stringify({
    data: [{ path: letter, meta: { _type: "gradio.FileData" } }],
    fn_index: 0, session_hash: "x",
  });
  await attempt("call", () => get(target + "/gradio_api/queue/join", post(call, json)));
  await attempt("call blindly", () => blind(target + "/gradio_api/queue/join", post(call)));
  await attempt("events", () => new Promise((done) => {
    const source = new EventSource(target + "/gradio_api/queue/data?session_hash=x");
    source.onerror = () => { source.close(); done("refused"); };
    source.onmessage = (event) => { source.close(); done(event.data); }; }));
  const load = (tag, url) => new Promise((done) => { const made = document.createElement(tag);
    made.onload = () => done("loaded");
    made.onerror = () => done("refused");
    made.src = url;
    document.body.append(made); });
  await attempt("picture", () => load("img", api + "/workspaces/eileen/files/source/original.png"));
  await attempt("gradio's picture", () => load("img", target + "/gradio_api/file=" + own));
  await attempt("script", () => load("script", target + "/config"));
  return found;
}
