// Runs before the page is drawn, so that it isn't drawn twice. It shares no names with anything: it's a classic script.
{
  const chosen = localStorage.getItem("sortie.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset["theme"] = chosen;
}
export {};
