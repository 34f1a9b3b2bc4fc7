// The WebSocket, for ever: it comes back by itself, and tells a lost server from a missing token.

import { api, subprotocols } from "./access.js";
import { readMessage } from "./message.js";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 3000;
// The server sends its state twice a second. Silence of this length, also before the first word, is a dead line that
// nobody closed.
const SILENCE_MS = 8000;
// The code with which a server closes that shuts down.
const GOING_AWAY = 1001;

export class Connection {
  #socket = null;
  #wait = FIRST_WAIT_MS;
  #timer = 0;
  #watchdog = 0;
  #lastAck = null;
  // The server said that it goes; what comes of further attempts tells nothing new.
  #ended = false;

  /**
   * @param {(message: object) => Promise<void>} onMessage settles when the message has been drawn
   * @param {(change: {state: "open"|"lost"|"refused", ended?: boolean}) => void} onChange
   * @param {() => boolean} wantsPictures
   */
  constructor(onMessage, onChange, wantsPictures) {
    this.onMessage = onMessage;
    this.onChange = onChange;
    this.wantsPictures = wantsPictures;
  }

  open() {
    clearTimeout(this.#timer);
    this.#socket?.close();
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url, subprotocols());
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#lastAck = null;
    this.#listen(socket);
    let opened = false;
    // One message after the other, in their order, although drawing waits for the decoder and the screen.
    let drawn = Promise.resolve();

    socket.onopen = () => {
      opened = true;
      this.#wait = FIRST_WAIT_MS;
      this.#ended = false;
      this.#listen(socket);
      this.onChange({ state: "open" });
    };
    socket.onmessage = ({ data }) => {
      this.#listen(socket);
      const message = readMessage(data);
      if (!message) return;
      drawn = drawn
        .then(() => socket === this.#socket && this.onMessage(message))
        .catch((error) => console.error(error))
        .then(() => this.#acknowledge(socket, message.n));
    };
    socket.onclose = ({ code }) => {
      if (socket !== this.#socket) return;
      this.#socket = null;
      clearTimeout(this.#watchdog);
      if (opened) this.#ended = code === GOING_AWAY;
      if (opened) this.#again();
      else this.#askWhy();
    };
  }

  /** Tells the server whether pictures are wanted now, without waiting for the next message. */
  update() {
    if (this.#lastAck !== null) this.#acknowledge(this.#socket, this.#lastAck);
  }

  /** Asks for one message with pictures. */
  step() {
    this.#send(this.#socket, { step: true });
  }

  #acknowledge(socket, n) {
    if (socket !== this.#socket) return;
    this.#lastAck = n;
    this.#send(socket, { ack: n, pictures: this.wantsPictures() });
  }

  #send(socket, text) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(text));
  }

  #listen(socket) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      if (socket !== this.#socket) return;
      this.#socket = null;
      socket.close();
      this.#again();
    }, SILENCE_MS);
  }

  // A browser does not tell why a WebSocket was refused; the API does.
  async #askWhy() {
    const status = await api("GET", "/api/state").then(() => 200, (error) => error.status);
    if (this.#socket) return;
    if (status === 401 || status === 403) this.onChange({ state: "refused" });
    else this.#again();
  }

  #again() {
    this.onChange({ state: "lost", ended: this.#ended });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.open(), this.#wait);
    this.#wait = Math.min(LONGEST_WAIT_MS, this.#wait * 2);
  }
}
