// The server under test, and what its adapter says to "Hello".
export const URL = process.env.CLIENTS_SERVER;
export const HELLO = [{ role: "user", content: "Hello" }];

export async function chat(adapter) {
  const said = async (name) => {
    const answer = await fetch(`${URL}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        adapter: name,
        messages: HELLO,
        max_tokens: 8,
        temperature: 0,
      }),
    });
    return (await answer.json()).choices[0].message.content;
  };
  const [its, base] = [await said(adapter), await said("base")];
  if (its === base) throw new Error("the adapter changes nothing");
  return its;
}
