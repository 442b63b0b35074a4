// Keys of the review page: a letter presses the button whose id stands beside it, Alt and a digit sets markers.
// Whatever changes the text in the editor has it drawn anew.
(() => {
  const buttons = { a: "accept", c: "correct", d: "drop", o: "reopen", r: "reset", j: "next", k: "previous" };
  const TYPED_INTO = "input:not([type=radio], [type=checkbox], [type=range]), textarea, select, [contenteditable]";
  const editor = () => document.querySelector("#editor textarea");
  const press = (id) => document.querySelector(`button#${id}`)?.click();

  const enclose = (field, number) => {
    const { selectionStart: start, selectionEnd: end, value } = field;
    if (start === end) return;
    field.setRangeText(`<${number}>${value.slice(start, end)}</${number}>`, start, end, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };

  let waiting;
  document.addEventListener("input", (event) => {
    if (event.target !== editor()) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => press("edited"), 200);
  });
  // by the time a button has done its work, another row may be shown
  document.addEventListener("click", () => clearTimeout(waiting), true);

  document.addEventListener("keydown", (event) => {
    const field = event.target.closest?.(TYPED_INTO);
    const digit = /^Digit([1-9])$/.exec(event.code);
    if (field && event.key === "Escape") {
      field.blur();
    } else if (field && field === editor() && event.altKey && digit) {
      event.preventDefault();
      enclose(field, digit[1]);
    } else if (field && field === editor() && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      press("correct");
    }
    if (field || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === "e") {
      event.preventDefault();
      editor()?.focus();
    } else if (buttons[event.key]) {
      event.preventDefault();
      press(buttons[event.key]);
    }
  });
})();
