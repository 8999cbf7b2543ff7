// The two switches of a validation page. Everything else on it is plain HTML.
document.querySelectorAll('[data-toggle="collapse"]').forEach((link) => {
  const target = document.getElementById(link.getAttribute("href").slice(1));
  link.addEventListener("click", (event) => {
    event.preventDefault();
    if (target) link.setAttribute("aria-expanded", target.classList.toggle("show"));
  });
});
document.querySelectorAll("[data-show]").forEach((button) => {
  button.addEventListener("click", () => {
    document.body.classList.toggle("failed-only", button.dataset.show === "failed");
    document.querySelectorAll("[data-show]").forEach((b) => b.classList.toggle("active", b === button));
  });
});
