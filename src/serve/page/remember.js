// What the browser keeps for the page: choices for good, the token for this tab. A browser that forbids it only forgets.

function keeper(storage) {
  return {
    get(key) {
      try {
        return window[storage].getItem(`vultus.${key}`);
      } catch {
        return null;
      }
    },
    set(key, value) {
      try {
        window[storage].setItem(`vultus.${key}`, value);
      } catch {
        // Not kept: asked again the next time.
      }
    },
  };
}

export const always = keeper("localStorage");
export const thisTab = keeper("sessionStorage");
