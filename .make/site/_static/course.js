// What Sphinx's pages need in order to work from the disk, and for who cannot use a mouse.

// A page from the disk may not read its neighbours: search shows titles, without extracts.
if (location.protocol === "file:" && window.DOCUMENTATION_OPTIONS)
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
