// One request of HTTP.

import http from 'node:http';
import https from 'node:https';

// Of an answer only its head is wanted; a longer body costs the connection.
const maxAnswer = 64 << 10;

// poster returns a function that posts a body and gives a promise of { status, retryAfter }. It does not follow redirects. Its errors
// have a code, and a text that must not be shown, since it may name addresses. A connection is kept between requests.
export function poster(url, milliseconds) {
  const { request, Agent } = url.protocol === 'https:' ? https : http;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return (body, headers) =>
    new Promise((resolve, reject) => {
      const options = { method: 'POST', agent, headers: { ...headers, 'content-length': Buffer.byteLength(body) } };
      let answered; // once its head is there
      const r = request(url, options, (answer) => {
        answered = { status: answer.statusCode, retryAfter: answer.headers['retry-after'] };
        let octets = 0;
        answer.on('data', (data) => {
          octets += data.length;
          if (octets > maxAnswer) answer.destroy();
        });
        answer.on('close', () => {
          clearTimeout(timer);
          resolve(answered);
        });
        answer.on('error', () => {});
      });
      const timer = setTimeout(() => r.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })), milliseconds);
      r.on('error', (err) => {
        clearTimeout(timer);
        if (answered) resolve(answered);
        else reject(err);
      });
      r.end(body);
    });
}
