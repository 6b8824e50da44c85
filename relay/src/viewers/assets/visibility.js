// Nothing runs while nobody can see it: start when the page is seen, stop when
// it is not, or when it is left and may be come back to.
export function whileVisible(start, stop) {
  const change = () => (document.visibilityState === 'visible' ? start() : stop());
  document.addEventListener('visibilitychange', change);
  window.addEventListener('pagehide', stop);
  window.addEventListener('pageshow', change);
  change();
}
