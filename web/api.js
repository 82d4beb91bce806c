// api.js -- calls of the server: JSON, and answers that stream.

export const key = {
  get: () => localStorage.getItem("key") ?? "",
  set: value => localStorage.setItem("key", value),
};

function headers() {
  const all = { "Content-Type": "application/json" };
  if (key.get())
    all.Authorization = `Bearer ${key.get()}`;
  return all;
}

async function refusal(response) {
  const text = await response.text();
  try {
    return new Error(JSON.parse(text).error.message);
  } catch {
    return new Error(`${response.status} ${text.slice(0, 200)}`);
  }
}

async function get(path) {
  const response = await fetch(path, { headers: headers() });
  if (!response.ok)
    throw await refusal(response);
  return response;
}

export const getJson = async path => (await get(path)).json();
export const getText = async path => (await get(path)).text();

// Calls take(object) for each "data:" of the stream, until [DONE].
export async function stream(path, body, signal, take) {
  const response = await fetch(path, { method: "POST", headers: headers(), body: JSON.stringify(body), signal });
  if (!response.ok)
    throw await refusal(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done)
      return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2))
      for (const line of text.slice(0, end).split("\n"))
        if (line.startsWith("data: ") && line !== "data: [DONE]") {
          const object = JSON.parse(line.slice(6));
          if (object.error)
            throw new Error(object.error.message);
          take(object);
        }
  }
}
