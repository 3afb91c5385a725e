"use strict";
(() => {
  const main = document.querySelector("main");
  const refresh = document.getElementById("refresh");
  const trouble = document.getElementById("trouble");
  refresh.closest("p").hidden = false;
  const again = async () => {
    if (!refresh.checked || document.hidden) return;
    try {
      const answer = await fetch("/", { headers: { Accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(4000) });
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const focused = document.activeElement.id;
      main.replaceChildren(...page.querySelector("main").childNodes);
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
      trouble.textContent = "";
    } catch (error) {
      trouble.textContent = "The agent does not answer: " + error.message;
    }
  };
  setInterval(again, 5000);
})();
