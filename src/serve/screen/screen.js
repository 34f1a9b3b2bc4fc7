// Becomes bright or dark when told, and says when that was drawn.
const socket = new WebSocket(`ws://${location.host}/flashes`);
const note = document.querySelector("p");

socket.onmessage = ({ data }) => {
  document.documentElement.classList.toggle("bright", data === "bright");
  // The first frame draws it; when the second is prepared, it has gone to the screen.
  requestAnimationFrame((first) => requestAnimationFrame((second) => say(second - first)));
};
// The measurement may be over by then.
const say = (frameMs) => {
  if (socket.readyState === WebSocket.OPEN) socket.send(frameMs);
};
socket.onclose = ({ wasClean }) => {
  document.documentElement.classList.remove("bright");
  note.textContent = wasClean ? "The measurement is over." : "The measurement is over, or this page is open elsewhere.";
};
