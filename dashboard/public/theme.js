// Runs before the first paint, so that a remembered theme never flashes. Not inline: the policy forbids inline scripts.
try {
  const theme = localStorage.getItem("hooklog.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be closed to us; then the system decides.
}
