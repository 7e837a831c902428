// SPDX-License-Identifier: Apache-2.0
import { marked } from 'marked';

export async function handle(event) {
  const text = event.isBase64Encoded
    ? Buffer.from(event.body, 'base64').toString()
    : event.body ?? event.markdown ?? '';
  const html = await marked.parse(text);
  console.log(`${text.length} characters of Markdown, ${html.length} of HTML`);
  return { statusCode: 200, headers: { 'Content-Type': 'text/html; charset=utf-8' }, body: html };
}
