// One message of the server: a length, JSON, and the JPEG pictures one after another.

/**
 * @typedef {{camera: string, seq: number, width: number, height: number, jpeg: Blob}} Picture
 * @param {ArrayBuffer} buffer
 * @returns {object} the JSON, whose `pictures.views` have got their `jpeg`; null if it is not such a message
 */
export function readMessage(buffer) {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength < 4) return null;
  const length = new DataView(buffer).getUint32(0, true);
  if (4 + length > buffer.byteLength) return null;
  let message;
  try {
    message = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  } catch {
    return null;
  }
  if (message === null || typeof message !== "object") return null;

  let start = 4 + length;
  if (!Array.isArray(message.pictures?.views)) delete message.pictures;
  for (const view of message.pictures?.views ?? []) {
    const length = Math.max(0, Math.min(view.bytes || 0, buffer.byteLength - start));
    view.jpeg = new Blob([new Uint8Array(buffer, start, length)], { type: "image/jpeg" });
    start += length;
  }
  return message;
}
